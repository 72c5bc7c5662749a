using System.Globalization;
using System.Text;
using Twintail.Data.Synthetic;
using Twintail.Features;

namespace Twintail.Data;

/// <summary>An item of a synthetic catalogue.</summary>
/// <param name="Id">External id.</param>
/// <param name="Genres">One or two.</param>
/// <param name="Tags">One to six.</param>
/// <param name="Brand">Who made it.</param>
/// <param name="Tier">A level that follows from the brand: related features are what the correlated mask is about.</param>
/// <param name="Price">Follows the brand's level.</param>
/// <param name="Year">Says nothing about taste.</param>
/// <param name="Colour">Says nothing about taste.</param>
public sealed record SyntheticItem(
    string Id, string[] Genres, string[] Tags, string Brand, string Tier, double Price, int Year, string Colour);

/// <summary>A user of a synthetic catalogue.</summary>
/// <param name="Id">External id.</param>
/// <param name="AgeGroup">Goes with the favourite genre.</param>
/// <param name="Country">Says nothing about taste.</param>
public sealed record SyntheticUser(string Id, string AgeGroup, string Country);

/// <summary>A click: row of the user, row of the item, time in seconds, split.</summary>
/// <param name="User">Row of the user.</param>
/// <param name="Item">Row of the item.</param>
/// <param name="Time">Seconds since 1970.</param>
/// <param name="Split">train, valid, valid_cold, test or test_cold.</param>
public sealed record SyntheticClick(int User, int Item, long Time, string Split);

/// <summary>
/// A catalogue with a long tail and users with tastes, drawn from a seed. Each item has a theme (one of 144, twelve in each genre) and a
/// character, a vector near its theme's. Features are symptoms of the theme, as what people tag, name and file things by is: up to six tags
/// and a brand of the theme's own vocabulary, a share of them stray ones of any theme. A theme has many tags, used with probabilities
/// proportional to 1 / (n + 2)^v, so that most are rare and are known by the company they keep rather than by clicks. Each user has a taste
/// (between two themes), a price they like, three brands that they are loyal to, and a weight w (uniform in [0, 1.5]) that
/// says how much they follow the crowd. User u draws items without replacement with probability proportional to
/// exp( strength · cos(taste_u, character_i) − (log price_i − liking_u)² / 2 + loyalty · [u loves brand_i] ) / (rank_i + 10)^(s w_u), where
/// the rank of an item in popularity has nothing to do with its features. Clicks on the cold items go to valid_cold and test_cold; of the
/// others the latest 15 % of each user are test and the 10 % before them valid.
/// </summary>
public sealed class SyntheticCatalogue
{
    private const double TestShare = 0.15;
    private const double ValidShare = 0.10;
    private const int LeastClicks = 5;
    private const int LovedBrands = 3;
    private const double SecondGenre = 0.4;
    private const double MostCrowd = 1.5;
    private const long Start = 1_700_000_000;
    private const int Day = 86_400;

    private static readonly string[] Colours = ["red", "green", "blue", "black", "white", "grey"];
    private static readonly string[] Tiers = ["budget", "standard", "premium", "luxury"];
    private static readonly string[] Ages = ["-17", "18-24", "25-34", "35-49", "50-"];
    private static readonly string[] Countries = ["at", "br", "ca", "de", "fr", "in", "jp", "us"];

    private readonly Latent _latent;
    private readonly Xoshiro _random;
    private readonly double[][] _characters;
    private readonly double[] _logPrices;
    private readonly int[] _brands;
    private readonly double[] _logPopularity;
    private readonly byte[] _cold;

    private SyntheticCatalogue(SyntheticOptions options)
    {
        Options = options;
        _random = new Xoshiro(options.Seed);
        _latent = new Latent(_random, options.Tags, options.Brands, options.VocabularyExponent);
        _characters = new double[options.Items][];
        _logPrices = new double[options.Items];
        _brands = new int[options.Items];
        Items = Enumerable.Range(0, options.Items).Select(MakeItem).ToArray();
        _logPopularity = MakePopularity();
        _cold = MakeCold();
        var users = new List<SyntheticUser>();
        var clicks = new List<SyntheticClick>();
        for (int user = 0; user < options.Users; user++)
        {
            users.Add(MakeUser(user, clicks));
        }

        clicks.Sort((a, b) => a.Time != b.Time ? a.Time.CompareTo(b.Time) : a.User != b.User ? a.User.CompareTo(b.User) : a.Item.CompareTo(b.Item));
        Users = users;
        Clicks = clicks;
    }

    /// <summary>What was asked for.</summary>
    public SyntheticOptions Options { get; }

    /// <summary>The items.</summary>
    public IReadOnlyList<SyntheticItem> Items { get; }

    /// <summary>The users.</summary>
    public IReadOnlyList<SyntheticUser> Users { get; }

    /// <summary>The clicks by time.</summary>
    public IReadOnlyList<SyntheticClick> Clicks { get; }

    /// <summary>Draws a catalogue; the same options give the same one.</summary>
    /// <exception cref="BadArgumentException">An option is out of range.</exception>
    public static SyntheticCatalogue Generate(SyntheticOptions? options = null)
    {
        options ??= new SyntheticOptions();
        options.Validate();
        return new SyntheticCatalogue(options);
    }

    /// <summary>Writes interactions.csv, items.csv and users.csv into a folder, which is made if need be.</summary>
    /// <returns>The options that read them back.</returns>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public DatasetOptions WriteCsv(string directory)
    {
        Directory.CreateDirectory(directory);
        var options = new DatasetOptions
        {
            Interactions = Path.Combine(directory, "interactions.csv"),
            Items = Path.Combine(directory, "items.csv"),
            Users = Path.Combine(directory, "users.csv"),
        };
        Write(
            options.Items,
            "item_id,genres,tags,brand,tier,price,year,colour",
            Items.Select(i => FormattableString.Invariant(
                $"{i.Id},{string.Join('|', i.Genres)},{string.Join('|', i.Tags)},{i.Brand},{i.Tier},{i.Price:F2},{i.Year},{i.Colour}")));
        Write(options.Users, "user_id,age_group,country", Users.Select(u => $"{u.Id},{u.AgeGroup},{u.Country}"));
        Write(
            options.Interactions,
            "user_id,item_id,timestamp,split",
            Clicks.Select(c => FormattableString.Invariant($"{Users[c.User].Id},{Items[c.Item].Id},{c.Time},{c.Split}")));
        return options;
    }

    /// <summary>Reads it as <see cref="DatasetReader"/> does, by way of temporary files.</summary>
    public Dataset ToDataset()
    {
        string folder = Directory.CreateTempSubdirectory("twintail-synthetic-").FullName;
        try
        {
            return DatasetReader.Read(WriteCsv(folder)).Dataset;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Write(string path, string header, IEnumerable<string> lines)
    {
        using var writer = new StreamWriter(path, append: false, new UTF8Encoding(false)) { NewLine = "\n" };
        writer.WriteLine(header);
        foreach (string line in lines)
        {
            writer.WriteLine(line);
        }
    }

    private SyntheticItem MakeItem(int row)
    {
        int theme = _random.Below(Latent.ThemeCount);
        int genre = Latent.GenreOf(theme), second = _random.Below(Latent.GenreNames.Length);
        int[] genres = _random.Uniform() < SecondGenre && second != genre ? [genre, second] : [genre];
        double own = Options.Unexplained;
        double[] told = Array.ConvertAll(_latent.Themes[theme], x => x * (1 - own));
        _characters[row] = Latent.Normalize(Latent.Add(told, _random.Direction(Latent.Length), own));
        string[] tags = [.. Enumerable.Range(0, 2 + _random.Below(5)).Select(_ => Latent.TagName(OrStray(theme), _latent.DrawTag(_random))).Distinct()];
        int brand = MakeBrand(theme);
        double level = _latent.Brands[brand].Level + (0.3 * _random.Normal());
        _logPrices[row] = level;
        _brands[row] = brand;
        return new SyntheticItem(
            "i" + (row + 1).ToString("D5", CultureInfo.InvariantCulture),
            Array.ConvertAll(genres, g => Latent.GenreNames[g]),
            tags,
            Latent.BrandName(brand),
            Tiers[level < -0.8 ? 0 : level < 0.3 ? 1 : level < 1.2 ? 2 : 3],
            Math.Round(20 * Math.Exp(0.6 * level), 2),
            1995 + _random.Below(30),
            Colours[_random.Below(Colours.Length)]);
    }

    private int OrStray(int theme) => _random.Uniform() < Options.Stray ? _random.Below(Latent.ThemeCount) : theme;

    private int MakeBrand(int theme)
    {
        int[] home = _latent.BrandsByTheme[OrStray(theme)];
        return home.Length == 0 ? _random.Below(_latent.Brands.Length) : home[_random.Below(home.Length)];
    }

    private double[] MakePopularity()
    {
        int[] ranks = Enumerable.Range(0, Options.Items).ToArray();
        _random.Shuffle(ranks);
        return Array.ConvertAll(ranks, rank => -Options.ZipfExponent * Math.Log(rank + 10));
    }

    // 0: warm; 1: cold, to be found in the test; 2: cold, for validation (a quarter of the cold items).
    private byte[] MakeCold()
    {
        var cold = new byte[Options.Items];
        int[] order = Enumerable.Range(0, Options.Items).ToArray();
        _random.Shuffle(order);
        int count = (int)Math.Round(Options.ColdShare * Options.Items);
        for (int i = 0; i < count; i++)
        {
            cold[order[i]] = (byte)(i % 4 == 3 ? 2 : 1);
        }

        return cold;
    }

    private SyntheticUser MakeUser(int user, List<SyntheticClick> clicks)
    {
        int favourite = _random.Below(Latent.ThemeCount), other = _random.Below(Latent.ThemeCount);
        double[] taste = Latent.Normalize(Latent.Add(_latent.Themes[favourite], _latent.Themes[other], _random.Uniform()));
        double liking = 0.7 * _random.Normal();
        double crowd = MostCrowd * _random.Uniform();
        int[] loved = Draw(LovedBrands, _latent.Brands.Length, b => Options.TasteStrength * Latent.Dot(taste, _latent.Themes[_latent.Brands[b].Theme]));
        double spread = Math.Log(Options.ClicksPerUser) + (0.6 * _random.Normal()) - 0.18;
        int count = Math.Clamp((int)Math.Round(Math.Exp(spread)), LeastClicks, Options.Items / 2);
        int[] items = Draw(count, Options.Items, i =>
        {
            double distance = _logPrices[i] - liking;
            double loyalty = loved.Contains(_brands[i]) ? Options.Loyalty : 0;
            return (Options.TasteStrength * Latent.Dot(taste, _characters[i])) - (distance * distance / 2) + (crowd * _logPopularity[i]) + loyalty;
        });
        _random.Shuffle(items);
        AddClicks(user, items, clicks);
        int age = _random.Uniform() < 0.7 ? Latent.GenreOf(favourite) % Ages.Length : _random.Below(Ages.Length);
        return new SyntheticUser(
            "u" + (user + 1).ToString("D5", CultureInfo.InvariantCulture), Ages[age], Countries[_random.Below(Countries.Length)]);
    }

    private void AddClicks(int user, int[] items, List<SyntheticClick> clicks)
    {
        int warm = items.Count(i => _cold[i] == 0);
        int test = Math.Max(1, (int)Math.Round(TestShare * warm)), valid = Math.Max(1, (int)Math.Round(ValidShare * warm));
        long time = Start + _random.Below(365 * Day);
        int seen = 0;
        foreach (int item in items)
        {
            seen += _cold[item] == 0 ? 1 : 0;
            string split = _cold[item] switch
            {
                1 => "test_cold",
                2 => "valid_cold",
                _ => seen > warm - test ? "test" : seen > warm - test - valid ? Dataset.Valid : Dataset.Train,
            };
            clicks.Add(new SyntheticClick(user, item, time, split));
            time += 60 + _random.Below(Day);
        }
    }

    // Indices drawn without replacement with probabilities proportional to exp(score): the largest of score + Gumbel noise.
    private int[] Draw(int count, int from, Func<int, double> score)
    {
        var keys = new double[from];
        int[] order = new int[from];
        for (int i = 0; i < from; i++)
        {
            keys[i] = -(score(i) + _random.Gumbel());
            order[i] = i;
        }

        Array.Sort(keys, order);
        return order[..count];
    }
}
