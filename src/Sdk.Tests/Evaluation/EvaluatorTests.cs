using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Ops;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Evaluation;

internal sealed class EvaluatorTests : OpFixture
{
    [Test]
    public void AgreesWithAnExampleWorkedOutByHand()
    {
        // Scores of items a..e for the only user: 5, 4, 3, 2, 1 (dot products with 1). Training click: a. To be found: c and e.
        // Without a the order is b c d e: ranks 2 and 4. k = 1: no hit, 0 / min(1, 2); k = 3: one hit, 1 / min(3, 2) = 0.5.
        // NDCG@1 = 0; MRR = 1/2. The first k is 1: one of four items is covered (b).
        Dataset data = Data(5, [(0, 0), (1, 1), (1, 2), (1, 3), (1, 4)], [(0, 2), (0, 4)], users: 2);
        var evaluator = new Evaluator(Catalogue.FromDataset(data), data.Splits, new EvaluationOptions { Ks = [1, 3] });

        SliceReport all = evaluator.Evaluate(new FixedRanker(Device, 1, [5, 4, 3, 2, 1], [1, 1]), "fixed")["all"];

        Assert.That(all.Recall(1).Value, Is.Zero);
        Assert.That(all.Recall(3).Value, Is.EqualTo(0.5));
        Assert.That(all["ndcg@1"].Value, Is.Zero);
        Assert.That(all["mrr"].Value, Is.EqualTo(0.5));
        Assert.That(all["coverage@1"].Value, Is.EqualTo(0.2));
        Assert.That(all.Users, Is.EqualTo(1));
        Assert.That(all.Pairs, Is.EqualTo(2));
    }

    [Test]
    public void NdcgWorkedOutByHand()
    {
        // Ranks 1 and 3 of two relevant items: DCG = 1 + 1/log2(4) = 1.5, ideal = 1 + 1/log2(3) = 1.63093: 0.919721.
        Dataset data = Data(4, [(1, 0), (1, 1), (1, 2), (1, 3)], [(0, 0), (0, 2)], users: 2);
        var evaluator = new Evaluator(Catalogue.FromDataset(data), data.Splits, new EvaluationOptions { Ks = [3] });

        SliceReport all = evaluator.Evaluate(new FixedRanker(Device, 1, [4, 3, 2, 1], [1, 1]), "fixed")["all"];

        Assert.That(all["ndcg@3"].Value, Is.EqualTo(0.919721).Within(1e-6));
        Assert.That(all.Recall(3).Value, Is.EqualTo(1));
    }

    [Test]
    public void AgreesWithBruteForceInDoubles([Values] Candidates candidates, [Values(Similarity.Dot, Similarity.Cosine)] Similarity similarity)
    {
        var draw = Draw.Fresh();
        const int Items = 90, Users = 130, D = 6;
        List<(int User, int Item)> Clicks(int count, int from, int to) =>
            [.. Enumerable.Range(0, count).Select(_ => (draw.Int(0, Users), draw.Int(from, to) * draw.Int(from, to) / to))];
        List<(int, int)> train = Clicks(900, 0, 70);
        List<(int, int)> test = [.. Clicks(300, 0, 70), .. Clicks(120, 0, Items)];
        Dataset data = Data(Items, train, test, Users);
        Catalogue catalogue = Catalogue.FromDataset(data);
        FixedRanker ranker;
        do
        {
            ranker = new FixedRanker(Device, D, draw.Normals(Items * D), draw.Normals(Users * D), similarity);
        }
        while (Enumerable.Range(0, Users).Any(user => HasNearTies(ranker, user, Items)));

        int[] ks = [5, 20];

        EvaluationReport report = new Evaluator(catalogue, data.Splits, new EvaluationOptions { Ks = ks, Candidates = candidates, BootstrapSamples = 0 }).Evaluate(ranker, "x");
        var expected = new BruteForce(catalogue, train, test, candidates, ranker, ks);

        foreach (string slice in new[] { "all", "head", "mid", "tail", "cold" })
        {
            Dictionary<string, double>? metrics = expected.Metrics(slice);
            Assert.That(report.Find(slice) == null, Is.EqualTo(metrics == null), slice);
            foreach ((string name, double value) in metrics ?? [])
            {
                Assert.That(report[slice][name].Value, Is.EqualTo(value).Within(1e-9), $"{slice} {name}");
            }
        }
    }

    [Test]
    public void SlicesSplitTheClicksInHalfThenThirtyThenTwentyPercent()
    {
        // 20 clicks: 6, 4 | 3, 2, 1 | 1, 1, 1, 1 | 0. Before an item: 0, 6 (< 10: head), 10, 13, 15 (< 16: mid), 16 ... (tail).
        Assert.That(PopularitySlices.Assign([1, 6, 0, 3, 1, 4, 1, 2, 1, 1]), Is.EqualTo(new[] { 1, 0, 3, 1, 2, 0, 2, 1, 2, 2 }));
        Assert.That(PopularitySlices.Assign([0, 0]), Is.EqualTo(new[] { 3, 3 }));
    }

    [Test]
    public void PopularityRanksByTrainingClicks()
    {
        // Clicks: item 2 three times, item 0 twice, item 1 once. User 3 seeks item 0, user 4 item 1: ranks 2 and 3.
        Dataset data = Data(3, [(0, 2), (1, 2), (2, 2), (0, 0), (1, 0), (0, 1)], [(3, 0), (4, 1)], users: 5);

        SliceReport all = new Evaluator(Catalogue.FromDataset(data), data.Splits, new EvaluationOptions { Ks = [2] }).EvaluatePopularity(Device)["all"];

        Assert.That(all.Recall(2).Value, Is.EqualTo(0.5));
        Assert.That(all["mrr"].Value, Is.EqualTo(((1.0 / 2) + (1.0 / 3)) / 2).Within(1e-12));
    }

    [Test]
    public void RandomFindsWhatChanceFinds()
    {
        // One of 100 items, k = 10: 0.1 expected over 2000 users, standard error 0.007.
        Dataset data = Data(100, [.. Enumerable.Range(0, 100).Select(i => (2000, i))], [.. Enumerable.Range(0, 2000).Select(u => (u, u % 100))], users: 2001);

        SliceReport all = new Evaluator(Catalogue.FromDataset(data), data.Splits, new EvaluationOptions { Ks = [10] }).EvaluateRandom(Device)["all"];

        Assert.That(all.Recall(10).Value, Is.EqualTo(0.1).Within(0.03));
    }

    [Test]
    public void ColdAndAllCandidatesComeFromTheEvaluatedSplits()
    {
        // Items 0 and 1 have training clicks; 2 and 3 are cold, but only 2 is in the split.
        Dataset data = Data(4, [(0, 0), (0, 1)], [(1, 2), (1, 0)], users: 2);
        Catalogue catalogue = Catalogue.FromDataset(data);
        EvaluationReport Report(Candidates candidates) =>
            new Evaluator(catalogue, data.Splits, new EvaluationOptions { Candidates = candidates }).EvaluatePopularity(Device);

        Assert.That(Report(Candidates.Warm).CandidateCount, Is.EqualTo(2));
        Assert.That(Report(Candidates.Warm).SkippedPairs, Is.EqualTo(1), "the cold item is no candidate");
        Assert.That(Report(Candidates.Cold).CandidateCount, Is.EqualTo(1));
        Assert.That(Report(Candidates.All).CandidateCount, Is.EqualTo(3));
        Assert.That(Report(Candidates.All).SkippedPairs, Is.Zero);
    }

    [Test]
    public void OptionsThatChangeAfterwardsChangeNothing()
    {
        static void Change(EvaluationOptions options)
        {
            options.Splits[0] = "train";
            options.Ks[0] = 1;
            options.Ks = [1, 2, 3];
            options.Candidates = Candidates.All;
            options.BootstrapSamples = 0;
            options.ColdBonus = 1;
            options.Seed = 5;
        }

        static string Text(EvaluationReport report)
        {
            report.Seconds = 0;
            return report.ToJson();
        }

        Dataset data = Data(30, [.. Enumerable.Range(0, 30).Select(i => (40, i))], [.. Enumerable.Range(0, 40).Select(u => (u, u % 30))], users: 41);
        Catalogue catalogue = Catalogue.FromDataset(data);
        static EvaluationOptions Options() => new() { Ks = [2, 4], BootstrapSamples = 20 };
        string unchanged = Text(new Evaluator(catalogue, data.Splits, Options()).EvaluateRandom(Device));

        EvaluationOptions options = Options();
        var evaluator = new Evaluator(catalogue, data.Splits, options);
        EvaluationReport before = evaluator.EvaluateRandom(Device);
        Change(options);
        Assert.That(Text(before), Is.EqualTo(unchanged), "a report that is there already");
        Assert.That(before.Options.Ks, Is.EqualTo(new[] { 2, 4 }));
        EvaluationReport after = evaluator.EvaluateRandom(Device);
        Assert.That(Text(after), Is.EqualTo(unchanged));

        Change(after.Options);
        Assert.That(Text(evaluator.EvaluateRandom(Device)), Is.EqualTo(unchanged), "the options of a report are its own");
        Assert.That(Text(before), Is.EqualTo(unchanged));
    }

    [Test]
    public void RefusesUnknownSplitsAndSplitsWithoutClicksToFind()
    {
        Dataset data = Data(3, [(0, 0)], [(0, 0)], users: 1);
        Catalogue catalogue = Catalogue.FromDataset(data);

        Assert.That(Refused("split", () => _ = new Evaluator(catalogue, data.Splits, new EvaluationOptions { Splits = ["tset"] })).Expected, Does.Contain("test"));
        Refused("splits", () => _ = new Evaluator(catalogue, data.Splits, new EvaluationOptions()));
        Refused("ks", () => _ = new Evaluator(catalogue, data.Splits, new EvaluationOptions { Ks = [0] }));
    }

    /// <summary>Whether two items' scores are so near each other that rounding may put them in the other order.</summary>
    private static bool HasNearTies(FixedRanker ranker, int user, int items)
    {
        double[] scores = [.. Enumerable.Range(0, items).Select(item => ranker.Score(user, item)).Order()];
        return scores.Zip(scores.Skip(1), (low, high) => high - low).Any(gap => gap < 3e-6);
    }

    internal static Dataset Data(int items, List<(int User, int Item)> train, List<(int User, int Item)> test, int users)
    {
        static Interactions Log(List<(int User, int Item)> clicks) => new([.. clicks.Select(x => x.User)], [.. clicks.Select(x => x.Item)]);
        return new Dataset(
            new FeatureTable([.. Enumerable.Range(0, items).Select(i => $"i{i}")], []),
            new FeatureTable([.. Enumerable.Range(0, users).Select(u => $"u{u}")], []),
            new Dictionary<string, Interactions> { ["train"] = Log(train), ["test"] = Log(test) });
    }

    /// <summary>Given vectors.</summary>
    internal sealed class FixedRanker(Device device, int d, float[] items, float[] users, Similarity similarity = Similarity.Dot) : IRanker
    {
        public Device Device => device;

        public int Dimension => d;

        public Similarity Similarity => similarity;

        public void Items(int[] rows, DeviceBuffer<float> vectors) => vectors.CopyFrom([.. rows.SelectMany(Item)]);

        public void Users(int[] rows, DeviceBuffer<float> vectors) => vectors.CopyFrom([.. rows.SelectMany(User)]);

        public double Score(int user, int item)
        {
            double Dot(IEnumerable<float> a, IEnumerable<float> b) => a.Zip(b, (x, y) => (double)x * y).Sum();
            double dot = Dot(User(user), Item(item));
            return similarity == Similarity.Dot ? dot : dot / Math.Sqrt(Dot(User(user), User(user)) * Dot(Item(item), Item(item)));
        }

        private IEnumerable<float> Item(int row) => items.AsSpan(row * d, d).ToArray();

        private IEnumerable<float> User(int row) => users.AsSpan(row * d, d).ToArray();
    }
}
