using Twintail.Data.Synthetic;

namespace Twintail.Data;

/// <summary>Size and shape of a <see cref="SyntheticCatalogue"/>.</summary>
public sealed record SyntheticOptions
{
    /// <summary>Items of the catalogue.</summary>
    public int Items { get; init; } = 6000;

    /// <summary>Users.</summary>
    public int Users { get; init; } = 4000;

    /// <summary>Mean number of clicks of a user; the numbers follow a log-normal law, at least 5.</summary>
    public double ClicksPerUser { get; init; } = 12;

    /// <summary>Share of the items that have no training click; the clicks on them are the splits "valid_cold" and "test_cold".</summary>
    public double ColdShare { get; init; } = 0.3;

    /// <summary>Exponent s of the popularity 1 / (rank + 10)^s, for a user who follows the crowd like others.</summary>
    public double ZipfExponent { get; init; } = 1;

    /// <summary>How much taste weighs against popularity: the range of the utility that comes from taste.</summary>
    public double TasteStrength { get; init; } = 10;

    /// <summary>What it adds to the utility of an item that its brand is one of the three that the user is loyal to.</summary>
    public double Loyalty { get; init; } = 2;

    /// <summary>Share of an item's character (as length of a vector) that is its own, not its theme's: no feature tells it.</summary>
    public double Unexplained { get; init; } = 0.25;

    /// <summary>Different tags, a multiple of 144: as many for each theme.</summary>
    public int Tags { get; init; } = 5760;

    /// <summary>Different brands.</summary>
    public int Brands { get; init; } = 800;

    /// <summary>Exponent v of how often a theme's tags are used: 1 / (n + 2)^v for number n; 0: all alike. More makes most of them rare.</summary>
    public double VocabularyExponent { get; init; } = 0.7;

    /// <summary>Share of the tags and brands that have nothing to do with the item's theme.</summary>
    public double Stray { get; init; } = 0.1;

    /// <summary>Seed of everything random.</summary>
    public long Seed { get; init; } = 1;

    /// <summary>Checks every value.</summary>
    /// <exception cref="BadArgumentException">The first one that is out of range.</exception>
    public void Validate()
    {
        Check("items", Items, Items >= 50, "at least 50");
        Check("users", Users, Users >= 10, "at least 10");
        Check("clicks_per_user", ClicksPerUser, ClicksPerUser >= 5 && ClicksPerUser <= Items / 4.0, "a number from 5 to a quarter of the items");
        Check("cold_share", ColdShare, ColdShare is >= 0 and <= 0.5, "a number in [0, 0.5]");
        Check("zipf_exponent", ZipfExponent, ZipfExponent is >= 0 and <= 3, "a number in [0, 3]");
        Check("taste_strength", TasteStrength, TasteStrength is >= 0 and <= 50, "a number in [0, 50]");
        Check("loyalty", Loyalty, Loyalty is >= 0 and <= 50, "a number in [0, 50]");
        Check("tags", Tags, Tags > 0 && Tags % Latent.ThemeCount == 0, $"a multiple of {Latent.ThemeCount}, at least {Latent.ThemeCount}");
        Check("brands", Brands, Brands >= 3, "at least 3");
        Check("vocabulary_exponent", VocabularyExponent, VocabularyExponent is >= 0 and <= 3, "a number in [0, 3]");
        Check("stray", Stray, Stray is >= 0 and <= 1, "a number in [0, 1]");
        Check("unexplained", Unexplained, Unexplained is >= 0 and <= 1, "a number in [0, 1]");
    }

    private static void Check(string name, double value, bool fits, string expected)
    {
        if (!fits)
        {
            throw new BadArgumentException(name, expected, FormattableString.Invariant($"{value}"));
        }
    }
}
