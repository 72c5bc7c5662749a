using System.Text.Json;
using System.Text.Json.Serialization;

namespace Twintail.Bench.Running;

/// <summary>What a measuring process found out about a contender.</summary>
internal sealed record TimingRecord
{
    public required string Case { get; init; }

    public required int N { get; init; }

    public required int M { get; init; }

    public required int D { get; init; }

    public required int Threads { get; init; }

    public required string Contender { get; init; }

    public required Role Role { get; init; }

    public required string Dtype { get; init; }

    public string? Isa { get; init; }

    /// <summary>Name of the <see cref="PeerSettings"/>.</summary>
    public required string Settings { get; init; }

    /// <summary>Time of every run, in order.</summary>
    public required IReadOnlyList<double> Milliseconds { get; init; }

    /// <summary>Managed bytes allocated by a run.</summary>
    public required double AllocatedBytes { get; init; }

    /// <summary>What a run costs at least, in flops or bytes.</summary>
    public required double Work { get; init; }

    /// <summary>
    /// How much of that the machine could do in a second with these threads and this instruction set, measured after each run; empty where
    /// not measured.
    /// </summary>
    public required IReadOnlyList<double> Peaks { get; init; }

    /// <summary>Largest relative difference of a result from the naive peer's; null for that peer.</summary>
    public double? Difference { get; init; }

    /// <summary>The most that was measured; null if nothing was.</summary>
    [JsonIgnore]
    public double? Peak => Peaks.Count > 0 ? Peaks.Max() : null;

    /// <summary>Median over the runs of what a run did a second over what the machine could do right after it.</summary>
    [JsonIgnore]
    public double? FractionOfPeak => Peaks.Count > 0
        ? Statistics.Median(Milliseconds.Zip(Peaks, (milliseconds, peak) => Work / (milliseconds / 1000) / peak))
        : null;

    [JsonIgnore]
    public double Median => Statistics.Median(Milliseconds);
}

/// <summary>Peak memory of a contender beyond its input.</summary>
internal sealed record MemoryRecord(string Case, int N, int M, int D, string Contender, double ExtraMib);

/// <summary>Records in a file, one JSON object a line.</summary>
internal static class JsonLines
{
    public static readonly JsonSerializerOptions Options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Converters = { new JsonStringEnumConverter(JsonNamingPolicy.SnakeCaseLower) },
    };

    public static void Append<T>(string path, T record) => File.AppendAllText(path, JsonSerializer.Serialize(record, Options) + "\n");

    public static IReadOnlyList<T> Read<T>(string path) => !File.Exists(path)
        ? []
        : [.. File.ReadLines(path).Select(line => JsonSerializer.Deserialize<T>(line, Options)!)];
}
