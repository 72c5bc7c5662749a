using Twintail.Features;
using Twintail.Ops;

namespace Twintail.Tests.Ops;

internal sealed class PairCountsTests : OpFixture
{
    [Test]
    public void HandCounted()
    {
        // Rows: {1, 2} × 1; {1, 1} × 2 (a pair counts once a row); {} × 1, where the empty feature has the default's id 0.
        var a = new FeatureColumn("a", ["", "x", "y"], [1, 2, 1, 1], [0, 2, 4, 4]);
        var b = new FeatureColumn("b", ["", "p", "q"], [1, 2, 1]);
        using var table = new DeviceFeatureTable(Device, 3, [new FeatureBinding(a, 0), new FeatureBinding(b, 1)]);
        PairCountsResult result = PairCounts.Count(Device, table, 0, 1);
        Assert.That(result.A, Is.EqualTo(new[] { 0, 1, 1, 2 }));
        Assert.That(result.B, Is.EqualTo(new[] { 1, 1, 2, 1 }));
        Assert.That(result.Counts, Is.EqualTo(new[] { 1, 1, 1, 1 }));
    }

    [Test]
    public void CountsOfRandomTables([Values(1, 50, 3000)] int rows)
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, rows, 0, 2, 3);
        using DeviceFeatureTable table = problem.Upload(Device);
        int begin = draw.Int(0, rows), end = draw.Int(begin, rows + 1);
        for (int a = 0; a < 5; a++)
        {
            for (int b = 0; b < 5; b++)
            {
                Check(problem, PairCounts.Count(Device, table, a, b), a, b, 0, rows);
                Check(problem, PairCounts.Count(Device, table, a, b, begin, end), a, b, begin, end);
            }
        }
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        var problem = new GatherProblem(Draw.Fresh(), 20, 10, 2);
        using DeviceFeatureTable table = problem.Upload(Device);
        Refused("feature_a", () => PairCounts.Count(Device, table, -1, 0));
        Refused("feature_b", () => PairCounts.Count(Device, table, 0, 7));
        Refused("row_begin", () => PairCounts.Count(Device, table, 0, 1, 21));
        Refused("row_end", () => PairCounts.Count(Device, table, 0, 1, 5, 4));
        Refused("row_end", () => PairCounts.Count(Device, table, 0, 1, 0, 21));
        Assert.Throws<UnsupportedException>(() => PairCounts.Count(Device, table, 0, 5));
        using DeviceBuffer<int> one = Device.Allocate<int>(1);
        using DeviceBuffer<long> count = Device.Allocate<long>(1);
        unsafe
        {
            Refused("capacity", () => PairCounts.Invoke(Device, table, 0, 1, 0, 20, 1, one.Pointer, one.Pointer, count.Pointer));
            Refused("counts", () => PairCounts.Invoke(Device, table, 0, 1, 0, 20, 1, one.Pointer, one.Pointer, null));
        }
    }

    private static void Check(GatherProblem problem, PairCountsResult result, int a, int b, int begin, int end)
    {
        var expected = new SortedDictionary<(int, int), long>();
        for (int row = begin; row < end; row++)
        {
            foreach (int x in Values(problem.Bindings[a].Column, row))
            {
                foreach (int y in Values(problem.Bindings[b].Column, row))
                {
                    expected[(x, y)] = expected.GetValueOrDefault((x, y)) + 1;
                }
            }
        }

        Assert.That(result.A.Zip(result.B), Is.EqualTo(expected.Keys), $"pairs of {a} and {b}");
        Assert.That(result.Counts, Is.EqualTo(expected.Values), $"counts of {a} and {b}");
    }

    private static int[] Values(FeatureColumn column, int row)
    {
        int[] values = column.ValuesOf(row).ToArray();
        return values.Length == 0 ? [0] : [.. values.Distinct()];
    }
}
