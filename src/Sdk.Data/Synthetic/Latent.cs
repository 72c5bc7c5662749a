namespace Twintail.Data.Synthetic;

/// <summary>Vectors of taste: what genres, tags and brands stand for.</summary>
internal sealed class Latent
{
    public const int Length = 16;

    public static readonly string[] GenreNames =
    [
        "adventure", "puzzle", "racing", "strategy", "horror", "sports", "simulation", "shooter", "romance", "music", "mystery", "fantasy",
    ];

    private static readonly string[] TagWords =
    [
        "retro", "cosy", "dark", "online", "short", "epic", "pixel", "realistic", "funny", "hard", "story", "open",
    ];

    private static readonly string[] TagSettings =
    [
        "space", "city", "sea", "forest", "desert", "castle", "island", "war", "school", "village", "future", "myth",
    ];

    public Latent(Xoshiro random, int tags, int brands)
    {
        Genres = Array.ConvertAll(GenreNames, _ => random.Direction(Length));
        for (int genre = 0; genre < Genres.Length; genre++)
        {
            for (int i = 0; i < tags / Genres.Length; i++)
            {
                string setting = i < TagWords.Length ? "" : $"{TagSettings[(i / TagWords.Length) - 1]}-";
                Tags.Add(($"{TagWords[i % TagWords.Length]}-{setting}{GenreNames[genre]}", genre, Normalize(Add(Genres[genre], random.Direction(Length), 0.8))));
            }
        }

        for (int i = 0; i < brands; i++)
        {
            int genre = random.Below(Genres.Length);
            Brands.Add(($"studio-{i + 1:D4}", Normalize(Add(Genres[genre], random.Direction(Length), 0.9)), random.Normal()));
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
