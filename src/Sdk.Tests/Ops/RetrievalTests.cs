using Twintail.Ops;

namespace Twintail.Tests.Ops;

/// <summary>top_k and rank against plain sorting.</summary>
internal sealed class RetrievalTests : OpFixture
{
    [Test]
    public void ExactOrderOfIntegerScores(
        [Values(1, 3, 67)] int n, [Values(1, 40, 1000)] int m, [Values(1, 10, 1500)] int k, [Values] bool exclude)
    {
        // Small integers: float32 scores are exact, ties abound, and the order is fully determined.
        Draw draw = Draw.Fresh();
        const int d = 7;
        Problem problem = Problem.Make(draw, n, m, d, exclude) with
        {
            Queries = draw.Fill(n * d, () => (float)draw.Int(-2, 3)),
            Items = draw.Fill(m * d, () => (float)draw.Int(-2, 3)),
        };
        (int[] ids, float[] scores) = problem.TopK(Device, k, Similarity.Dot);
        for (int i = 0; i < n; i++)
        {
            (int Item, double Score)[] order = problem.Order(i, Similarity.Dot);
            for (int j = 0; j < k; j++)
            {
                Assert.That(ids[(i * k) + j], Is.EqualTo(j < order.Length ? order[j].Item : -1), $"query {i}, place {j}");
                Assert.That(scores[(i * k) + j], Is.EqualTo(j < order.Length ? order[j].Score : double.NegativeInfinity));
            }
        }
    }

    [Test]
    public void BestOfRealScores([Values] Similarity similarity, [Values(3, 64, 100)] int d)
    {
        Draw draw = Draw.Fresh();
        const int n = 33, m = 777, k = 50;
        Problem problem = Problem.Make(draw, n, m, d, exclude: true);
        (int[] ids, float[] scores) = problem.TopK(Device, k, similarity);
        for (int i = 0; i < n; i++)
        {
            (int Item, double Score)[] order = problem.Order(i, similarity);
            double tolerance = 1e-5 * Math.Max(1, Math.Abs(order[0].Score));
            for (int j = 0; j < k; j++)
            {
                double exact = problem.Score(i, ids[(i * k) + j], similarity);
                Assert.That(scores[(i * k) + j], Is.EqualTo(exact).Within(tolerance), $"query {i}, place {j}");
                Assert.That(exact, Is.EqualTo(order[j].Score).Within(tolerance), $"query {i}, place {j}");
            }

            Assert.That(ids.Skip(i * k).Take(k), Is.Unique);
        }
    }

    [Test]
    public void RankIsThePlaceInTopK([Values] Similarity similarity, [Values] bool exclude)
    {
        Draw draw = Draw.Fresh();
        const int n = 19, m = 230, d = 16;
        Problem problem = Problem.Make(draw, n, m, d, exclude);
        problem.Items.AsSpan(0, 5 * d).CopyTo(problem.Items.AsSpan(50 * d)); // ties
        (int[] ids, _) = problem.TopK(Device, m, similarity);
        long[] offsets = Enumerable.Range(0, n + 1).Select(i => (long)i * m).ToArray();
        int[] targets = Enumerable.Range(0, n * m).Select(t => t % m).ToArray();
        int[] ranks = problem.Rank(Device, similarity, offsets, targets);
        for (int i = 0; i < n; i++)
        {
            for (int item = 0; item < m; item++)
            {
                int place = Array.IndexOf(ids, item, i * m, m);
                Assert.That(ranks[(i * m) + item], Is.EqualTo(place < 0 ? -1 : place - (i * m) + 1), $"query {i}, item {item}");
            }
        }
    }

    [Test]
    public void RanksOfNoTargets()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 3, 10, 4, exclude: false);
        Assert.That(problem.Rank(Device, Similarity.Dot, [0, 0, 1, 1], [4]), Has.Length.EqualTo(1));
        Assert.That(problem.Rank(Device, Similarity.Dot, [0, 0, 0, 0], []), Is.Empty);
    }

    [Test]
    public void NaNScoresRankLast()
    {
        var problem = new Problem(1, 4, 1, [1], [1, float.NaN, 3, -5], null, null);
        (int[] ids, float[] scores) = problem.TopK(Device, 4, Similarity.Dot);
        Assert.That(ids, Is.EqualTo(new[] { 2, 0, 3, 1 }));
        Assert.That(scores[3], Is.NaN);
        Assert.That(problem.Rank(Device, Similarity.Dot, [0, 4], [0, 1, 2, 3]), Is.EqualTo(new[] { 2, 4, 1, 3 }));
    }

    [Test]
    public void ZeroVectorsHaveCosineZero()
    {
        var problem = new Problem(1, 3, 2, [2, 0], [-1, 0, 0, 0, 5, 5], null, null);
        (int[] ids, float[] scores) = problem.TopK(Device, 3, Similarity.Cosine);
        Assert.That(ids, Is.EqualTo(new[] { 2, 1, 0 }));
        Assert.That(scores[0], Is.EqualTo(Math.Sqrt(.5)).Within(1e-6));
        Assert.That(scores[1], Is.Zero);
    }

    [Test]
    public void HostArraysGiveTheSame()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 5, 60, 9, exclude: false);
        (int[] ids, float[] scores) = problem.TopK(Device, 7, Similarity.Cosine);
        TopKResult result = Twintail.Ops.TopK.Find(Device, 9, problem.Queries, problem.Items, 7);
        Assert.That(result.Ids, Is.EqualTo(ids));
        Assert.That(Bits.Of(result.Scores), Is.EqualTo(Bits.Of(scores)));
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 150, 3000, 32, exclude: true);
        SameForAnyThreadCount(device =>
        {
            (int[] ids, float[] scores) = problem.TopK(device, 20, Similarity.Cosine);
            long[] offsets = Enumerable.Range(0, 151).Select(i => (long)i * 3).ToArray();
            return [ids, scores, problem.Rank(device, Similarity.Cosine, offsets, Enumerable.Range(0, 450).ToArray())];
        });
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> rows = Device.Allocate<float>(32);
        using DeviceBuffer<float> small = Device.Allocate<float>(3);
        using DeviceBuffer<int> ids = Device.Allocate<int>(64);
        using DeviceBuffer<int> few = Device.Allocate<int>(3);
        RetrievalArguments Make(long n = 2, long m = 8, int d = 4, Similarity s = Similarity.Dot) => new(n, m, d, rows, rows, s);
        void Find(RetrievalArguments a, int k = 3) => Twintail.Ops.TopK.Find(Device, a, k, ids);

        Refused("k", () => Find(Make(), 0));
        using (DeviceBuffer<int> many = Device.Allocate<int>(2 * 4097))
        {
            Refused("k", () => Twintail.Ops.TopK.Find(Device, Make(), 4097, many));
        }

        Refused("d", () => Find(Make(d: 0)));
        Refused("n", () => Find(Make(n: -1)));
        Refused("m", () => Find(Make(m: -1)));
        Refused("similarity", () => Find(Make(s: (Similarity)4)));
        Refused("queries", () => Find(new RetrievalArguments(2, 8, 4, small, rows)));
        Refused("items", () => Find(new RetrievalArguments(2, 8, 4, rows, small)));
        Refused("ids", () => Twintail.Ops.TopK.Find(Device, Make(), 3, few));
        Refused("scores", () => Twintail.Ops.TopK.Find(Device, Make(), 3, ids, small));

        using DeviceBuffer<long> offsets = Device.Upload(new long[] { 0, 1, 2 });
        using DeviceBuffer<long> falling = Device.Upload(new long[] { 0, 2, 1 });
        using DeviceBuffer<long> late = Device.Upload(new long[] { 1, 1, 2 });
        using DeviceBuffer<int> good = Device.Upload(new[] { 0, 7 });
        using DeviceBuffer<int> bad = Device.Upload(new[] { 0, 8 });
        void Excluding(DeviceBuffer<long> o, DeviceBuffer<int> items) =>
            Find(With(Make(), a => (a.ExcludeOffsets, a.ExcludeItems) = (o, items)));
        Refused("exclude_items[1]", () => Excluding(offsets, bad));
        Refused("exclude_offsets[2]", () => Excluding(falling, good));
        Refused("exclude_offsets[0]", () => Excluding(late, good));
        Refused("targets[1]", () => Twintail.Ops.Rank.Find(Device, Make(), offsets, bad, ids));
        Refused("target_offsets[2]", () => Twintail.Ops.Rank.Find(Device, Make(), falling, good, ids));
        using DeviceBuffer<int> one = Device.Allocate<int>(1);
        Refused("targets", () => Twintail.Ops.Rank.Find(Device, Make(), offsets, one, ids));
        Refused("ranks", () => Twintail.Ops.Rank.Find(Device, Make(), offsets, good, one));
    }

    private static RetrievalArguments With(RetrievalArguments arguments, Action<RetrievalArguments> change)
    {
        change(arguments);
        return arguments;
    }

    private sealed record Problem(
        int N, int M, int D, float[] Queries, float[] Items, long[]? ExcludeOffsets, int[]? ExcludeItems)
    {
        public static Problem Make(Draw draw, int n, int m, int d, bool exclude)
        {
            var offsets = new long[n + 1];
            var items = new List<int>();
            for (int i = 0; i < n; i++)
            {
                items.AddRange(draw.Ints(draw.Int(0, Math.Min(m, 30)), 0, m)); // in any order, duplicates too
                offsets[i + 1] = items.Count;
            }

            return new Problem(
                n, m, d, draw.Normals(n * d), draw.Normals(m * d), exclude ? offsets : null, exclude ? [.. items] : null);
        }

        public double Score(int query, int item, Similarity similarity)
        {
            double dot = 0, q = 0, x = 0;
            for (int k = 0; k < D; k++)
            {
                (double a, double b) = (Queries[(query * D) + k], Items[(item * D) + k]);
                dot += a * b;
                q += a * a;
                x += b * b;
            }

            return similarity == Similarity.Dot ? dot : q == 0 || x == 0 ? 0 : dot / Math.Sqrt(q * x);
        }

        public (int Item, double Score)[] Order(int query, Similarity similarity)
        {
            var excluded = new HashSet<int>();
            for (long e = ExcludeOffsets?[query] ?? 0; e < (ExcludeOffsets?[query + 1] ?? 0); e++)
            {
                excluded.Add(ExcludeItems![e]);
            }

            return Enumerable.Range(0, M).Where(item => !excluded.Contains(item))
                .Select(item => (item, Score(query, item, similarity)))
                .OrderByDescending(pair => pair.Item2).ThenBy(pair => pair.item).ToArray();
        }

        public (int[] Ids, float[] Scores) TopK(Device device, int k, Similarity similarity)
        {
            using Arguments arguments = new(this, device, similarity);
            using DeviceBuffer<int> ids = device.Allocate<int>(N * k);
            using DeviceBuffer<float> scores = device.Allocate<float>(N * k);
            Twintail.Ops.TopK.Find(device, arguments.Value, k, ids, scores);
            return (ids.ToArray(), scores.ToArray());
        }

        public int[] Rank(Device device, Similarity similarity, long[] targetOffsets, int[] targets)
        {
            using Arguments arguments = new(this, device, similarity);
            using DeviceBuffer<long> offsets = device.Upload(targetOffsets);
            using DeviceBuffer<int> deviceTargets = device.Upload(targets);
            using DeviceBuffer<int> ranks = device.Allocate<int>(targets.Length);
            Twintail.Ops.Rank.Find(device, arguments.Value, offsets, deviceTargets, ranks);
            return ranks.ToArray();
        }
    }

    private sealed class Arguments : IDisposable
    {
        private readonly DeviceBuffer<float> _queries;
        private readonly DeviceBuffer<float> _items;
        private readonly DeviceBuffer<long>? _offsets;
        private readonly DeviceBuffer<int>? _excluded;

        public Arguments(Problem p, Device device, Similarity similarity)
        {
            _queries = device.Upload(p.Queries);
            _items = device.Upload(p.Items);
            _offsets = p.ExcludeOffsets == null ? null : device.Upload(p.ExcludeOffsets);
            _excluded = p.ExcludeItems == null ? null : device.Upload(p.ExcludeItems);
            Value = new RetrievalArguments(p.N, p.M, p.D, _queries, _items, similarity)
            {
                ExcludeOffsets = _offsets,
                ExcludeItems = _excluded,
            };
        }

        public RetrievalArguments Value { get; }

        public void Dispose()
        {
            _queries.Dispose();
            _items.Dispose();
            _offsets?.Dispose();
            _excluded?.Dispose();
        }
    }
}
