namespace Twintail.Data.Synthetic;

/// <summary>Vectors of taste: what themes stand for, and the vocabulary that tells them.</summary>
internal sealed class Latent
{
    public const int Length = 16;

    /// <summary>Twelve of each genre.</summary>
    public const int ThemeCount = 144;

    private const double ThemeSpread = 0.9;

    public static readonly string[] GenreNames =
    [
        "adventure", "puzzle", "racing", "strategy", "horror", "sports", "simulation", "shooter", "romance", "music", "mystery", "fantasy",
    ];

    private static readonly string[] Settings =
    [
        "space", "city", "sea", "forest", "desert", "castle", "island", "war", "school", "village", "future", "myth",
    ];

    private readonly double[] _usage;

    public Latent(Xoshiro random, int tags, int brands, double vocabularyExponent)
    {
        double[][] genres = Array.ConvertAll(GenreNames, _ => random.Direction(Length));
        Themes = Array.ConvertAll(Enumerable.Range(0, ThemeCount).ToArray(), t => Normalize(Add(genres[GenreOf(t)], random.Direction(Length), ThemeSpread)));
        Brands = Array.ConvertAll(Enumerable.Range(0, brands).ToArray(), _ => (random.Below(ThemeCount), random.Normal()));
        BrandsByTheme = Array.ConvertAll(Enumerable.Range(0, ThemeCount).ToArray(), t => Enumerable.Range(0, brands).Where(b => Brands[b].Theme == t).ToArray());
        _usage = new double[tags / ThemeCount];
        double sum = 0;
        for (int number = 0; number < _usage.Length; number++)
        {
            sum += Math.Pow(number + 2, -vocabularyExponent);
            _usage[number] = sum;
        }
    }

    /// <summary>Unit vectors. Those of a genre are near each other.</summary>
    public double[][] Themes { get; }

    /// <summary>Each brand has a theme that it is at home in and a level of price, a standard normal.</summary>
    public (int Theme, double Level)[] Brands { get; }

    /// <summary>The brands at home in each theme; there may be none.</summary>
    public int[][] BrandsByTheme { get; }

    public static int GenreOf(int theme) => theme / Settings.Length;

    /// <summary>Which of a theme's tags an item is given: number n with probability proportional to 1 / (n + 2)^v, n from 0.</summary>
    public int DrawTag(Xoshiro random)
    {
        int found = Array.BinarySearch(_usage, random.Uniform() * _usage[^1]);
        return Math.Min(found < 0 ? ~found : found, _usage.Length - 1);
    }

    public static string TagName(int theme, int number) => $"{Settings[theme % Settings.Length]}-{GenreNames[GenreOf(theme)]}-{number + 1}";

    public static string BrandName(int brand) => $"studio-{brand + 1:D4}";

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
