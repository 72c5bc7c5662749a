using Twintail.Bench.Cases;
using Twintail.Bench.Running;

namespace Twintail.Bench.Growth;

/// <summary>A point of a curve: who is measured at one size.</summary>
/// <param name="X">Where it stands on the axis.</param>
internal sealed record GrowthPoint(double X, CaseId Id, int Threads, IReadOnlyList<string> Contenders);

/// <summary>A plot of time against one size.</summary>
/// <param name="Name">Of the file.</param>
/// <param name="Title">Of the plot.</param>
/// <param name="XLabel">Of the axis.</param>
/// <param name="Points">In ascending order.</param>
internal sealed record GrowthSeries(string Name, string Title, string XLabel, IReadOnlyList<GrowthPoint> Points);

/// <summary>What time is plotted against.</summary>
internal static class GrowthPlan
{
    private const int Width = 320; // of the gathered vectors: the sum of the eight dims
    private const long GiB = 1L << 30;

    public static IReadOnlyList<GrowthSeries> Create(bool quick, int threads) =>
    [
        new(
            "loss-batch",
            "Loss, forward and backward, d = 64",
            "n = m",
            [.. Sizes(quick, 1024, 2048, 4096, 8192, 16384, 32768, 65536).Select(n => Loss(n, n, 64, threads))]),
        new(
            "loss-width",
            "Loss, forward and backward, n = m = 8192",
            "d",
            [.. Sizes(quick, 32, 64, 96, 128, 192, 256).Select(d => Loss(d, quick ? 1024 : 8192, d, threads))]),
        new(
            "gather-table",
            "Two augmented views, backward, update: batch 8192",
            "rows of each of the eight tables",
            [.. Sizes(quick, 10_000, 100_000, 1_000_000, 10_000_000).Where(Fits).Select(rows => Gather(rows, threads))]),
        .. new[] { new CaseId(LossCase.ForwardBackward, 8192, 8192, 64), new CaseId(StepCase.Name, 4096, 2048, 64) }
            .Where(_ => !quick)
            .Select(Threads),
    ];

    private static IEnumerable<int> Sizes(bool quick, params int[] sizes) => quick ? sizes.Take(2) : sizes;

    /// <summary>Plain TorchSharp needs six matrices of n × n: 6 GiB at 16384.</summary>
    private static GrowthPoint Loss(double x, int n, int d, int threads) => new(
        x, new CaseId(LossCase.ForwardBackward, n, n, d), threads, n <= 16384 ? Lineup.Everybody : [Lineup.Twintail, Lineup.TorchBest]);

    /// <summary>Everybody has tables of their own, so the largest ones are measured alone.</summary>
    private static GrowthPoint Gather(int rows, int threads) => new(
        rows, new CaseId(GatherCase.Step, 8192, rows, Width), threads, rows <= 1_000_000 ? Lineup.Everybody : [Lineup.Twintail]);

    private static bool Fits(int rows)
    {
        long copies = rows <= 1_000_000 ? 3 : 1;
        return (copies * rows * (Width + 8L) * sizeof(float)) + (2 * GiB) < GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
    }

    private static GrowthSeries Threads(CaseId id) => new(
        $"threads-{id.Case.Replace('_', '-')}",
        id.Case == StepCase.Name ? $"Training step, {id.N} clicks, {id.M} self-supervised items" : $"Loss, forward and backward, n = m = {id.N}, d = {id.D}",
        "threads",
        [.. Enumerable.Range(1, Environment.ProcessorCount).Where(t => int.IsPow2(t) || t == Environment.ProcessorCount)
            .Select(t => new GrowthPoint(t, id, t, Lineup.Everybody))]);
}
