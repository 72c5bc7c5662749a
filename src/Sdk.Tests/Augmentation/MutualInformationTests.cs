using Twintail.Augmentation;
using Twintail.Features;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Augmentation;

internal sealed class MutualInformationTests : OpFixture
{
    private static FeatureColumn Single(string name, params int[] values) =>
        new(name, [.. Enumerable.Range(0, values.Max() + 1).Select(x => x == 0 ? "" : $"{name}{x}")], values);

    [Test]
    public void AgreesWithATableWorkedOutByHand()
    {
        // gender x category of eight items: (female, beauty) 3, (female, other) 1, (neutral, beauty) 1, (neutral, other) 3.
        // p = 3/8, 1/8, 1/8, 3/8 and all marginals 1/2, so p/(p p) = 3/2, 1/2, 1/2, 3/2:
        // MI = 2 * 3/8 * ln 1.5 + 2 * 1/8 * ln 0.5 = 0.75 * 0.405465 - 0.25 * 0.693147 = 0.130812
        // H(gender) = H(category) = ln 2 = 0.693147, so that MI / sqrt(H H) = 0.188722.
        var items = new FeatureTable(
            [.. Enumerable.Range(0, 8).Select(x => $"{x}")],
            [Single("gender", 1, 1, 1, 1, 2, 2, 2, 2), Single("category", 1, 1, 1, 2, 1, 2, 2, 2)]);

        MutualInformation information = MutualInformation.Compute(Device, items);

        Assert.That(information.Get(0, 1, Relatedness.Plain), Is.EqualTo(0.130812).Within(1e-6));
        Assert.That(information.Get(1, 0, Relatedness.Plain), Is.EqualTo(information.Get(0, 1, Relatedness.Plain)));
        Assert.That(information.Get(0, 1, Relatedness.Normalized), Is.EqualTo(0.188722).Within(1e-6));
        Assert.That(information.Get(0, 0, Relatedness.Plain), Is.EqualTo(Math.Log(2)).Within(1e-12));
        Assert.That(information.Get(0, 0, Relatedness.Normalized), Is.EqualTo(1));
    }

    [Test]
    public void CountsEveryPairOfValuesAndMissingAsAValue()
    {
        // genres {a, b} with language x; no genre with language y: pairs (a,x), (b,x), (none,y), each 1/3. p(x) = 2/3, p(y) = 1/3:
        // MI = 2/3 * ln((1/3) / (1/3 * 2/3)) + 1/3 * ln((1/3) / (1/3 * 1/3)) = 2/3 ln 1.5 + 1/3 ln 3 = 0.270310 + 0.366204
        var items = new FeatureTable(
            ["0", "1"], [new FeatureColumn("genres", ["", "a", "b"], [1, 2], [0, 2, 2]), Single("language", 1, 2)]);

        MutualInformation information = MutualInformation.Compute(Device, items);

        Assert.That(information.Get(0, 1, Relatedness.Plain), Is.EqualTo(0.636514).Within(1e-6));
        Assert.That(information.Entropy(0), Is.EqualTo(Math.Log(3)).Within(1e-12));
    }

    [Test]
    public void AFeatureThatDecidesAnotherSharesAllItsEntropy()
    {
        var items = new FeatureTable(["0", "1", "2", "3"], [Single("a", 1, 2, 3, 4), Single("b", 1, 1, 2, 2)]);

        MutualInformation information = MutualInformation.Compute(Device, items);

        Assert.That(information.Get(0, 1, Relatedness.Plain), Is.EqualTo(Math.Log(2)).Within(1e-12));
        Assert.That(information.Get(0, 1, Relatedness.Normalized), Is.EqualTo(Math.Sqrt(0.5)).Within(1e-12));
    }

    [Test]
    public void AdjustmentTakesAwayWhatManyValuesGainByChance()
    {
        // "series" has 300 values for 600 items and knows nothing of the others; "genre" follows "mood" in 80 % of the items.
        var draw = Draw.Fresh();
        int[] mood = draw.Ints(600, 1, 6);
        int[] genre = Array.ConvertAll(mood, x => draw.Chance(.8) ? x : draw.Int(1, 6));
        var items = new FeatureTable(
            [.. Enumerable.Range(0, 600).Select(x => $"{x}")],
            [Single("mood", mood), Single("genre", genre), Single("series", draw.Ints(600, 1, 301))]);

        MutualInformation information = MutualInformation.Compute(Device, items);

        Assert.That(information.Get(2, 0, Relatedness.Plain), Is.GreaterThan(0.5), "nats by chance alone");
        Assert.That(information.Get(2, 0, Relatedness.Adjusted), Is.EqualTo(0).Within(0.08));
        Assert.That(information.Get(0, 1, Relatedness.Adjusted), Is.GreaterThan(0.3));
    }

    [Test]
    public void ANewFeatureCostsItsPairsOnlyAndGivesTheSameMatrix()
    {
        var draw = Draw.Fresh();
        FeatureColumn[] columns = [.. Enumerable.Range(0, 5).Select(c => Single($"f{c}", draw.Ints(50, 0, c + 3)))];
        string[] ids = [.. Enumerable.Range(0, 50).Select(x => $"{x}")];
        MutualInformation whole = MutualInformation.Compute(Device, new FeatureTable(ids, columns));
        MutualInformation grown = MutualInformation.Compute(Device, new FeatureTable(ids, columns[..4]));
        int before = grown.PairCountsDone;

        grown.AddFeature(Device, columns[4]);

        Assert.That(before, Is.EqualTo(2 * 6), "4 * 3 / 2 pairs and as many permuted ones");
        Assert.That(grown.PairCountsDone - before, Is.EqualTo(2 * 4), "k = 4 and as many permuted ones");
        foreach (Relatedness measure in Enum.GetValues<Relatedness>())
        {
            for (int pair = 0; pair < 25; pair++)
            {
                Assert.That(grown.Get(pair / 5, pair % 5, measure), Is.EqualTo(whole.Get(pair / 5, pair % 5, measure)));
            }
        }
    }

    [Test]
    public void MasksTheSeedAndTheHalfOfTheFeaturesThatIsMostRelated()
    {
        // Relations of feature 1 with 0, 2, 3, 4: the two largest are with 2 and, of the equal ones, the lower index 0.
        double[] relation = [0.5, 9, 0.9, 0.5, 0.1];

        Assert.That(MutualInformation.MostRelated(1, 5, x => relation[x]), Is.EqualTo(new[] { 0, 1, 2 }));
        Assert.That(MutualInformation.MostRelated(0, 1, _ => 0), Is.EqualTo(new[] { 0 }));
        Assert.That(MutualInformation.MostRelated(0, 2, _ => 0), Is.EqualTo(new[] { 0, 1 }));
    }

    [Test]
    public void RefusesOtherRowsAndTakenNames()
    {
        var items = new FeatureTable(["0", "1"], [Single("a", 1, 2)]);
        MutualInformation information = MutualInformation.Compute(Device, items);

        Refused("column", () => information.AddFeature(Device, Single("b", 1, 2, 3)));
        Refused("column", () => information.AddFeature(Device, Single("a", 1, 2)));
    }
}
