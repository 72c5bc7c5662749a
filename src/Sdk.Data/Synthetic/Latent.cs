namespace Twintail.Data.Synthetic;

/// <summary>Vectors of taste: what genres, tags and brands stand for.</summary>
internal sealed class Latent
{
    public const int Length = 16;

    private const int TagsPerGenre = 12;
    private const int BrandCount = 200;

    public static readonly string[] GenreNames =
    [
        "adventure", "puzzle", "racing", "strategy", "horror", "sports", "simulation", "shooter", "romance", "music", "mystery", "fantasy",
    ];

    private static readonly string[] TagWords =
    [
        "retro", "cosy", "dark", "online", "short", "epic", "pixel", "realistic", "funny", "hard", "story", "open",
    ];

    public Latent(Xoshiro random)
    {
        Genres = Array.ConvertAll(GenreNames, _ => random.Direction(Length));
        for (int genre = 0; genre < Genres.Length; genre++)
        {
            for (int i = 0; i < TagsPerGenre; i++)
            {
                Tags.Add(($"{TagWords[i]}-{GenreNames[genre]}", genre, Normalize(Add(Genres[genre], random.Direction(Length), 0.8))));
            }
        }

        for (int i = 0; i < BrandCount; i++)
        {
            int genre = random.Below(Genres.Length);
            Brands.Add(($"studio-{i + 1:D3}", Normalize(Add(Genres[genre], random.Direction(Length), 0.9)), random.Normal()));
        }
    }

    public double[][] Genres { get; }

    /// <summary>Each tag has a genre that it is at home in.</summary>
    public List<(string Name, int Genre, double[] Vector)> Tags { get; } = [];

    /// <summary>Each brand has a level of price, a standard normal.</summary>
    public List<(string Name, double[] Vector, double Level)> Brands { get; } = [];

    public static double Dot(double[] a, double[] b)
    {
        double sum = 0;
        for (int i = 0; i < Length; i++)
        {
            sum += a[i] * b[i];
        }

        return sum;
    }

    public static double[] Add(double[] a, double[] b, double factor = 1)
    {
        var sum = new double[Length];
        for (int i = 0; i < Length; i++)
        {
            sum[i] = a[i] + (factor * b[i]);
        }

        return sum;
    }

    public static double[] Normalize(double[] vector)
    {
        double norm = Math.Sqrt(vector.Sum(x => x * x));
        return Array.ConvertAll(vector, x => x / norm);
    }
}
