using System.Text.Json;
using System.Text.Json.Nodes;
using Twintail.Bench.Cases;

namespace Twintail.Bench.Running;

/// <summary>A line of summary.json; null where something does not apply or was not measured.</summary>
internal sealed record SummaryRow
{
    public required string Case { get; init; }

    public long? N { get; init; }

    public long? M { get; init; }

    public long? D { get; init; }

    public int? Threads { get; init; }

    public string? Dtype { get; init; }

    public string? Isa { get; init; }

    public double? MsMedian { get; init; }

    public double? MsMin { get; init; }

    /// <summary>Least work / time, as a share of what the machine could do right after it: the median over the runs.</summary>
    public double? FractionOfPeak { get; init; }

    /// <summary>How many times as long the naive peer takes, with the settings that suit it best.</summary>
    public double? TimesTorchsharpNaive { get; init; }

    /// <summary>How many times as long the best peer takes, with the settings that suit it best.</summary>
    public double? TimesTorchsharpBest { get; init; }

    /// <summary>Peak memory beyond the input.</summary>
    public double? ExtraMib { get; init; }

    /// <summary>The same of the naive peer.</summary>
    public double? TorchsharpExtraMib { get; init; }

    /// <summary>As TimesTorchsharpNaive, with TorchSharp's default settings.</summary>
    public double? TimesTorchsharpNaiveDefault { get; init; }

    /// <summary>As TimesTorchsharpBest, with TorchSharp's default settings.</summary>
    public double? TimesTorchsharpBestDefault { get; init; }

    /// <summary>The same as TorchsharpExtraMib, of the best peer.</summary>
    public double? TorchsharpBestExtraMib { get; init; }

    /// <summary>Largest relative difference (in the 2-norm) of a result from the naive peer's, which computes in float32.</summary>
    public double? Difference { get; init; }

    /// <summary>Managed bytes that a call allocates.</summary>
    public double? ManagedBytes { get; init; }

    /// <summary>"sdk": called from C#, beside the peers; "benchmarkdotnet": without peers; "native": by the native bench.</summary>
    public required string Source { get; init; }
}

/// <summary>Makes summary.json out of what the measuring processes have recorded.</summary>
internal static class Summary
{
    public static IReadOnlyList<SummaryRow> Rows(IReadOnlyList<TimingRecord> timings, IReadOnlyList<MemoryRecord> memory) =>
    [
        .. from timing in timings
           where timing.Role == Role.Ours
           group timing by (timing.Case, timing.N, timing.M, timing.D, timing.Threads, timing.Contender) into ours
           select Row([.. ours], timings, memory),
    ];

    /// <summary>Lines of the native bench, which has the same fields but knows no peers.</summary>
    public static IEnumerable<SummaryRow> NativeRows(IEnumerable<string> lines)
    {
        foreach (string line in lines.Where(line => line.StartsWith('{')))
        {
            var row = JsonSerializer.Deserialize<JsonObject>(line)!;
            row["source"] = "native";
            yield return row.Deserialize<SummaryRow>(JsonLines.Options)!;
        }
    }

    public static void Write(string path, IEnumerable<SummaryRow> rows)
    {
        var options = new JsonSerializerOptions(JsonLines.Options) { WriteIndented = true };
        File.WriteAllText(path + ".new", JsonSerializer.Serialize(rows, options) + "\n");
        File.Move(path + ".new", path, overwrite: true);
    }

    private static SummaryRow Row(
        IReadOnlyList<TimingRecord> ours, IReadOnlyList<TimingRecord> timings, IReadOnlyList<MemoryRecord> memory)
    {
        // Ratios are taken within one process; our own time is that of the process where it came out best.
        TimingRecord best = ours.MinBy(record => record.Median)!;
        return new SummaryRow
        {
            Case = best.Case,
            N = best.N,
            M = best.M,
            D = best.D,
            Threads = best.Threads,
            Dtype = best.Dtype,
            Isa = best.Isa,
            MsMedian = Round(best.Median),
            MsMin = Round(ours.Min(record => record.Milliseconds.Min())),
            FractionOfPeak = Round(best.FractionOfPeak),
            TimesTorchsharpNaive = Round(Times(ours, timings, Role.Naive).Values.Min()),
            TimesTorchsharpBest = Round(Times(ours, timings, Role.Best).Values.Min()),
            TimesTorchsharpNaiveDefault = Round(Times(ours, timings, Role.Naive).Default),
            TimesTorchsharpBestDefault = Round(Times(ours, timings, Role.Best).Default),
            ExtraMib = Round(Extra(memory, best, best.Contender)),
            TorchsharpExtraMib = Round(Extra(memory, best, Lineup.TorchNaive)),
            TorchsharpBestExtraMib = Round(Extra(memory, best, Lineup.TorchBest)),
            Difference = best.Difference is { } difference ? double.Parse(difference.ToString("G2")) : null,
            ManagedBytes = ours.Min(record => record.AllocatedBytes),
            Source = "sdk",
        };
    }

    /// <summary>How many times our median a peer's is, under each of the settings.</summary>
    private static (IEnumerable<double?> Values, double? Default) Times(
        IReadOnlyList<TimingRecord> ours, IReadOnlyList<TimingRecord> timings, Role role)
    {
        double? Of(TimingRecord own) => timings.FirstOrDefault(peer =>
            peer.Role == role && peer.Settings == own.Settings && SameWork(peer, own))?.Median / own.Median;
        TimingRecord? byDefault = ours.FirstOrDefault(own => own.Settings == PeerSettings.Default.Name);
        return (ours.Select(Of), byDefault == null ? null : Of(byDefault));
    }

    private static bool SameWork(TimingRecord a, TimingRecord b) =>
        (a.Case, a.N, a.M, a.D, a.Threads) == (b.Case, b.N, b.M, b.D, b.Threads);

    private static double? Extra(IReadOnlyList<MemoryRecord> memory, TimingRecord work, string contender) => memory.FirstOrDefault(
        record => record.Contender == contender && (record.Case, record.N, record.M, record.D) == (work.Case, work.N, work.M, work.D))?.ExtraMib;

    private static double? Round(double? value) =>
        value is { } number && double.IsFinite(number) ? double.Parse(number.ToString("G5")) : null;
}
