using Twintail.Data;
using Twintail.Features;

namespace Twintail.Tests.Data;

/// <summary>The synthetic catalogue has what it promises: a long tail, cold items, features that carry taste.</summary>
[TestFixture]
internal sealed class SyntheticTests
{
    private static readonly SyntheticOptions Small = new() { Items = 600, Users = 500, Tags = 1440, Brands = 100, Seed = 7 };

    private readonly SyntheticCatalogue _catalogue = SyntheticCatalogue.Generate(Small);

    [Test]
    public void TheSeedDecides()
    {
        Assert.That(SyntheticCatalogue.Generate(Small).Clicks, Is.EqualTo(_catalogue.Clicks));
        Assert.That(SyntheticCatalogue.Generate(Small with { Seed = 8 }).Clicks, Is.Not.EqualTo(_catalogue.Clicks));
    }

    [Test]
    public void FilesGiveTheSameDataBack()
    {
        Dataset dataset = _catalogue.ToDataset();
        Assert.Multiple(() =>
        {
            Assert.That(dataset.Items.Ids, Is.EqualTo(_catalogue.Items.Select(i => i.Id)));
            Assert.That(dataset.Users.Ids, Is.EqualTo(_catalogue.Users.Select(u => u.Id)));
            Assert.That(dataset.Splits.Values.Sum(s => s.Count), Is.EqualTo(_catalogue.Clicks.Count));
            Assert.That(dataset.Items.Columns.Select(c => c.Name), Is.EqualTo(new[] { "genres", "tags", "brand", "tier", "price", "year", "colour" }));
            Assert.That(dataset.Items.Columns.Single(c => c.Name == "price").BucketEdges, Is.Not.Null);
            Assert.That(dataset.Items.Columns.Single(c => c.Name == "tags").IsMultiValued);
            Assert.That(dataset.Items.Ids.Select((id, row) => dataset.Items.Columns[2].Vocabulary[dataset.Items.Columns[2].Values[row]]), Is.EqualTo(_catalogue.Items.Select(i => i.Brand)));
        });
    }

    [Test]
    public void ColdItemsHaveNoTrainingClick()
    {
        HashSet<int> trained = ItemsOf("train"), cold = [.. ItemsOf("test_cold"), .. ItemsOf("valid_cold")];
        Assert.That(trained.Intersect(cold), Is.Empty);
        Assert.That(cold, Has.Count.InRange(1, (int)(Small.ColdShare * Small.Items)));
        Assert.That(ItemsOf("test_cold").Intersect(ItemsOf("valid_cold")), Is.Empty);
        HashSet<int> ItemsOf(string split) => _catalogue.Clicks.Where(c => c.Split == split).Select(c => c.Item).ToHashSet();
    }

    [Test]
    public void EveryUserTrainsAndIsTestedAndNoPairRepeats()
    {
        foreach (IGrouping<int, SyntheticClick> user in _catalogue.Clicks.GroupBy(c => c.User))
        {
            string[] splits = user.Where(c => !c.Split.EndsWith("cold", StringComparison.Ordinal)).OrderBy(c => c.Time).Select(c => c.Split).ToArray();
            Assert.That(user.Select(c => c.Item), Is.Unique);
            Assert.That(splits, Is.EqualTo(splits.OrderBy(s => Array.IndexOf(["train", "valid", "test"], s))), "train, then valid, then test");
            Assert.That(splits, Does.Contain("test"));
        }
    }

    [Test]
    public void ClicksHaveALongTail()
    {
        int[] counts = _catalogue.Clicks.Where(c => c.Split == "train").GroupBy(c => c.Item).Select(g => g.Count()).OrderDescending().ToArray();
        double head = counts.Take(Small.Items / 10).Sum() / (double)counts.Sum();
        Assert.That(head, Is.GreaterThan(0.25), "share of the clicks on the most clicked tenth");
    }

    [Test]
    public void FeaturesCarryTasteAndColourDoesNot()
    {
        // How much more often two clicks of one user share a value than two clicks of different users do.
        double Lift(Func<SyntheticItem, string> feature)
        {
            var clicks = _catalogue.Clicks.Select(c => (c.User, Value: feature(_catalogue.Items[c.Item]))).ToArray();
            double all = clicks.GroupBy(c => c.Value).Sum(g => Math.Pow(g.Count() / (double)clicks.Length, 2));
            double within = clicks.GroupBy(c => c.User).Average(u => u.SelectMany((a, i) => u.Skip(i + 1).Select(b => a.Value == b.Value ? 1.0 : 0.0)).Average());
            return within / all;
        }

        Assert.Multiple(() =>
        {
            Assert.That(Lift(i => i.Genres[0]), Is.GreaterThan(1.3));
            Assert.That(Lift(i => i.Brand), Is.GreaterThan(1.05));
            Assert.That(Lift(i => i.Colour), Is.InRange(0.9, 1.1));
        });
    }

    [Test]
    public void TagsTellTheThemeAndMostAreRare()
    {
        SyntheticCatalogue even = SyntheticCatalogue.Generate(Small with { VocabularyExponent = 0 });
        SyntheticCatalogue steep = SyntheticCatalogue.Generate(Small with { VocabularyExponent = 2 });
        SyntheticCatalogue stray = SyntheticCatalogue.Generate(Small with { Stray = 1 });
        Assert.Multiple(() =>
        {
            Assert.That(MostUsed(steep), Is.GreaterThan(1.5 * MostUsed(even)));
            Assert.That(Agreeing(_catalogue), Is.GreaterThan(0.7));
            Assert.That(Agreeing(stray), Is.LessThan(0.05));
            Assert.That(AtHome(_catalogue), Is.GreaterThan(0.8));
            Assert.That(AtHome(stray), Is.LessThan(0.2));
        });

        // Share of all uses that the most used tenth of the tags has.
        static double MostUsed(SyntheticCatalogue c)
        {
            int[] uses = [.. c.Items.SelectMany(i => i.Tags).GroupBy(t => t).Select(g => g.Count()).OrderDescending()];
            return uses.Take(Small.Tags / 10).Sum() / (double)uses.Sum();
        }

        // Share of the pairs of an item's tags that are of one theme.
        static double Agreeing(SyntheticCatalogue c)
        {
            bool[] pairs = [.. c.Items.SelectMany(i => i.Tags.SelectMany((a, n) => i.Tags.Skip(n + 1).Select(b => Theme(a) == Theme(b))))];
            return pairs.Count(same => same) / (double)pairs.Length;
        }

        // Share of the tags that are of the item's first genre.
        static double AtHome(SyntheticCatalogue c) => c.Items.SelectMany(i => i.Tags.Select(t => t.Contains($"-{i.Genres[0]}-", StringComparison.Ordinal) ? 1.0 : 0.0)).Average();

        static string Theme(string tag) => tag[..tag.LastIndexOf('-')];
    }

    [Test]
    public void OptionsOutOfRangeAreRefused()
    {
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { Tags = 100 }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { Brands = 2 }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { VocabularyExponent = -1 }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { Stray = double.NaN }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { Items = 3 }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { ColdShare = 0.9 }));
        Assert.Throws<BadArgumentException>(() => SyntheticCatalogue.Generate(Small with { ZipfExponent = double.NaN }));
    }
}
