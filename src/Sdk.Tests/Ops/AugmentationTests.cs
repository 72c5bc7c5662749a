using Twintail.Features;
using Twintail.Ops;

namespace Twintail.Tests.Ops;

/// <summary>What the views keep: the course's examples, the header's formulas to the bit, and statistics.</summary>
internal sealed class AugmentationTests : OpFixture
{
    private static IEnumerable<TestCaseData> Cases()
    {
        Transforms[] sets =
        [
            Transforms.None, Transforms.RandomMask, Transforms.ValueDropout, Transforms.Complementary, Transforms.Correlated,
            Transforms.ListDropout, Transforms.RandomMask | Transforms.ValueDropout | Transforms.Complementary | Transforms.ListDropout,
            Transforms.ValueDropout | Transforms.Correlated | Transforms.ListDropout,
        ];
        foreach (Transforms transforms in sets)
        {
            foreach (SeedScope scope in Enum.GetValues<SeedScope>())
            {
                yield return new TestCaseData(transforms, SecondView.Complement, scope);
                yield return new TestCaseData(transforms, SecondView.Independent, scope);
            }
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void KeptValuesFollowTheHeader(Transforms transforms, SecondView second, SeedScope scope)
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 50, 30, 4, 4, 4);
        using DeviceFeatureTable table = problem.Upload(Device);
        int[] rows = problem.SomeRows(90);
        int[] leftOut = problem.SomeLeftOut(rows);
        using DeviceBuffer<int> deviceRows = Device.Upload(rows);
        using DeviceBuffer<int> deviceLeftOut = Device.Upload(leftOut);
        ViewAugmentation augmentation = problem.Augmentation(transforms, second, scope);
        for (int view = 0; view < 3; view++)
        {
            var reference = new AugmentationReference(problem, augmentation, view);
            var gather = new GatherView(deviceRows, null)
            {
                Augmentation = augmentation,
                LeftOut = deviceLeftOut,
                View = view,
                RowBase = 1000,
            };
            for (int f = 0; f < problem.Bindings.Length; f++)
            {
                AugmentedValues kept = EmbeddingGather.Preview(Device, table, gather, f);
                for (int i = 0; i < rows.Length; i++)
                {
                    int[] values = kept.Values[(int)kept.Offsets[i]..(int)kept.Offsets[i + 1]];
                    Assert.That(kept.Masks[i], Is.EqualTo(reference.Masked((uint)(1000 + i))), $"view {view}, row {i}");
                    Assert.That(
                        values, Is.EqualTo(reference.Kept(f, rows[i], (uint)(1000 + i), leftOut[i])), $"view {view}, feature {f}, row {i}");
                }
            }
        }
    }

    // The course's items: id | category {beauty, photo} | keywords | city.
    private static readonly string[] Tags = ["", "beauty", "photo", "digital"];

    [Test]
    public void RandomMaskTurnsDigitalAndPhotoIntoTheDefault()
    {
        using DeviceFeatureTable table = Table(new FeatureColumn("category", Tags, [3, 2], [0, 2]));
        using DeviceBuffer<int> rows = Device.Upload(new[] { 0 });
        var mask = new ViewAugmentation(Transforms.RandomMask, 1, 0) { MaskRate = 1 };
        Assert.That(Kept(table, rows, mask, 1, 0), Is.EqualTo(new[] { 0 }));
        Assert.That(Kept(table, rows, mask with { MaskRate = 0 }, 1, 0), Is.EqualTo(new[] { 3, 2 }));
        Assert.That(Kept(table, rows, mask with { Maskable = 0 }, 1, 0), Is.EqualTo(new[] { 3, 2 }), "not maskable");
    }

    [Test]
    public void ValueDropoutTurnsBeautyAndPhotoIntoBeauty()
    {
        using DeviceFeatureTable table = Table(new FeatureColumn("category", Tags, [1, 2], [0, 2]), new FeatureColumn("city", Tags, [3]));
        using DeviceBuffer<int> rows = Device.Upload(new[] { 0 });
        var seen = new HashSet<string>();
        for (ulong seed = 0; seed < 200; seed++)
        {
            var dropout = new ViewAugmentation(Transforms.ValueDropout, 3, seed) { ValueRate = .5f };
            seen.Add(string.Join(',', Kept(table, rows, dropout, 1, 0)));
            Assert.That(Kept(table, rows, dropout, 1, 1), Is.EqualTo(new[] { 3 }), "a single-valued feature loses nothing");
        }

        Assert.That(seen, Is.EquivalentTo(new[] { "1,2", "1", "2", "0" }), "both, {beauty}, {photo}, the default");
    }

    [Test]
    public void ComplementarySplitsIdAndKeywordFromCategoryAndCity()
    {
        // {id, category, keyword, city}: one view keeps {id, keyword}, the other {category, city}; six such splits in all.
        using DeviceFeatureTable table = Table([.. Enumerable.Range(0, 4).Select(f => new FeatureColumn($"f{f}", Tags, [1 + (f % 3)]))]);
        using DeviceBuffer<int> rows = Device.Upload(new int[600]);
        var split = new ViewAugmentation(Transforms.Complementary, 15, Draw.Fresh().Bits());
        ulong[] first = Masks(table, rows, split, 1);
        ulong[] second = Masks(table, rows, split, 2);
        for (int i = 0; i < first.Length; i++)
        {
            Assert.That(ulong.PopCount(first[i]), Is.EqualTo(2));
            Assert.That(first[i] ^ second[i], Is.EqualTo(15UL), "what one view keeps the other masks");
        }

        Dictionary<ulong, int> counts = first.GroupBy(m => m).ToDictionary(g => g.Key, g => g.Count());
        Assert.That(counts, Has.Count.EqualTo(6).And.ContainKey(0b1010UL), "every split occurs");
        Assert.That(counts.Values.Sum(c => (c - 100.0) * (c - 100.0) / 100), Is.LessThan(45), "χ², 5 degrees of freedom");
    }

    [Test]
    public void CorrelatedMasksFemaleAndBeautyTogether()
    {
        // gender and category go together, city and price go together: whichever is the seed, its partner is masked with it.
        using DeviceFeatureTable table = Table([.. Enumerable.Range(0, 4).Select(f => new FeatureColumn($"f{f}", Tags, [1]))]);
        using DeviceBuffer<int> rows = Device.Upload(new int[400]);
        var correlated = new ViewAugmentation(Transforms.Correlated, 15, Draw.Fresh().Bits()) { Correlated = [3, 3, 12, 12] };
        ulong[] first = Masks(table, rows, correlated, 1);
        Assert.That(first.Distinct(), Is.EquivalentTo(new[] { 3UL, 12UL }));
        Assert.That(first.Count(m => m == 3), Is.InRange(100, 300));
        ulong[] complement = Masks(table, rows, correlated, 2);
        Assert.That(complement.Zip(first, (b, a) => a ^ b), Is.All.EqualTo(15UL));

        ulong[] independent = Masks(table, rows, correlated with { SecondView = SecondView.Independent }, 2);
        Assert.That(independent.Zip(first, (b, a) => a == b ? 1 : 0).Sum(), Is.InRange(100, 300), "a seed of its own");
        ulong[] batch = Masks(table, rows, correlated with { SeedScope = SeedScope.PerBatch }, 1);
        Assert.That(batch.Distinct().Count(), Is.EqualTo(1), "one seed for the batch");
    }

    [Test]
    public void SeedsAreUniform()
    {
        using DeviceFeatureTable table = Table([.. Enumerable.Range(0, 7).Select(f => new FeatureColumn($"f{f}", Tags, [1]))]);
        const int n = 70_000;
        using DeviceBuffer<int> rows = Device.Upload(new int[n]);
        var correlated = new ViewAugmentation(Transforms.Correlated, 127, Draw.Fresh().Bits())
        {
            Correlated = [.. Enumerable.Range(0, 7).Select(f => 1UL << f)],
        };
        var counts = new int[7];
        foreach (ulong mask in Masks(table, rows, correlated, 1))
        {
            counts[ulong.TrailingZeroCount(mask)]++;
        }

        Assert.That(counts.Sum(c => (c - 1e4) * (c - 1e4) / 1e4), Is.LessThan(45), "χ², 6 degrees of freedom");
    }

    [TestCase(.1f)]
    [TestCase(.5f)]
    public void RatesAreKeptAndViewsAreIndependent(float rate)
    {
        using DeviceFeatureTable table = Table([.. Enumerable.Range(0, 10).Select(f => new FeatureColumn($"f{f}", Tags, [1]))]);
        const int n = 20_000;
        using DeviceBuffer<int> rows = Device.Upload(new int[n]);
        var mask = new ViewAugmentation(Transforms.RandomMask, 1023, Draw.Fresh().Bits()) { MaskRate = rate };
        ulong[] first = Masks(table, rows, mask, 1);
        ulong[] second = Masks(table, rows, mask, 2);
        double sigma = Math.Sqrt(rate * (1 - rate) / n);
        double both = rate * rate;
        for (int f = 0; f < 10; f++)
        {
            Assert.That(Share(first, f), Is.EqualTo(rate).Within(6 * sigma), $"feature {f}");
            Assert.That(
                first.Zip(second, (a, b) => a & b).Count(m => (m >> f & 1) != 0) / (double)n,
                Is.EqualTo(both).Within(6 * Math.Sqrt(both * (1 - both) / n)), $"feature {f} in both views");
            int next = (f + 1) % 10;
            Assert.That(
                first.Count(m => (m >> f & m >> next & 1) != 0) / (double)n,
                Is.EqualTo(both).Within(6 * Math.Sqrt(both * (1 - both) / n)), $"features {f} and {next}");
        }

        static double Share(ulong[] masks, int f) => masks.Count(m => (m >> f & 1) != 0) / (double)masks.Length;
    }

    [Test]
    public void APartOfABatchIsMaskedAsTheWhole()
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 30, 0, 4);
        using DeviceFeatureTable table = problem.Upload(Device);
        int[] rows = problem.SomeRows(40);
        using DeviceBuffer<int> all = Device.Upload(rows);
        using DeviceBuffer<int> tail = Device.Upload(rows[25..]);
        ViewAugmentation augmentation = problem.Augmentation(Transforms.RandomMask | Transforms.ValueDropout);
        AugmentedValues whole = EmbeddingGather.Preview(Device, table, new GatherView(all, null) { Augmentation = augmentation, View = 1 }, 2);
        AugmentedValues part = EmbeddingGather.Preview(
            Device, table, new GatherView(tail, null) { Augmentation = augmentation, View = 1, RowBase = 25 }, 2);
        Assert.That(part.Masks, Is.EqualTo(whole.Masks[25..]));
        Assert.That(part.Values, Is.EqualTo(whole.Values[(int)whole.Offsets[25]..]));
    }

    private DeviceFeatureTable Table(params FeatureColumn[] columns) =>
        new(Device, 1, [.. columns.Select((column, f) => new FeatureBinding(column, f))]);

    private int[] Kept(DeviceFeatureTable table, DeviceBuffer<int> rows, ViewAugmentation augmentation, int view, int feature) =>
        EmbeddingGather.Preview(Device, table, new GatherView(rows, null) { Augmentation = augmentation, View = view }, feature).Values;

    private ulong[] Masks(DeviceFeatureTable table, DeviceBuffer<int> rows, ViewAugmentation augmentation, int view) =>
        EmbeddingGather.Preview(Device, table, new GatherView(rows, null) { Augmentation = augmentation, View = view }, 0).Masks;
}
