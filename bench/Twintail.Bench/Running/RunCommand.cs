using System.Diagnostics;
using Twintail.Bench.Cases;
using Twintail.Bench.Machine;

namespace Twintail.Bench.Running;

/// <summary>
/// Everything: each group of cases in a process of its own for each of the settings, memory in a process for each contender, the
/// SDK's calls by BenchmarkDotNet, the native bench; then summary.json. Options: [--quick] [--threads N] [--out DIR]
/// [--groups loss,gather,...] [--native FILE]
/// </summary>
internal static class RunCommand
{
    public static int Run(Options options)
    {
        var clock = Stopwatch.StartNew();
        string folder = options.Folder;
        string timings = Fresh(folder, "timings.jsonl");
        string memory = Fresh(folder, "memory.jsonl");
        string calls = Fresh(folder, "calls.jsonl");
        string[] groups = options.Has("groups")
            ? options.Get("groups").Split(',')
            : [.. Plan.Of(options.Quick).Select(item => item.Group).Distinct()];
        string machine = MachineInfo.Describe(options.Threads);
        Console.WriteLine(machine);
        bool isRight = true;
        foreach (string group in groups)
        {
            foreach (PeerSettings settings in options.Quick ? [PeerSettings.Default, PeerSettings.Allocator] : PeerSettings.All)
            {
                Console.WriteLine($"[{clock.Elapsed:mm\\:ss}] {group}, TorchSharp's settings: {settings.Name}");
                isRight &= Child(options, settings, "measure", "--group", group, "--settings", settings.Name, "--records", timings);
            }
        }

        foreach (PlanItem item in Plan.Of(options.Quick).Where(item => item.Memory && groups.Contains(item.Group)))
        {
            Console.WriteLine($"[{clock.Elapsed:mm\\:ss}] memory of {item.Id}");
            foreach (string contender in Lineup.Everybody)
            {
                isRight &= Child(
                    options, PeerSettings.Default, "memory", "--case", item.Id.ToString(), "--contender", contender, "--records", memory);
            }
        }

        Console.WriteLine($"[{clock.Elapsed:mm\\:ss}] calls of the SDK, by BenchmarkDotNet");
        isRight &= Child(options, PeerSettings.Default, "sdk", "--records", calls, "--out", folder);
        IReadOnlyList<SummaryRow> rows =
        [
            .. Summary.Rows(JsonLines.Read<TimingRecord>(timings), JsonLines.Read<MemoryRecord>(memory)),
            .. JsonLines.Read<SummaryRow>(calls),
            .. NativeBench.Run(options, clock),
        ];
        Summary.Write(Path.Combine(folder, "summary.json"), rows);
        Report.WriteMarkdown(Path.Combine(folder, "summary.md"), machine, rows);
        Report.Print(rows);
        Console.WriteLine($"[{clock.Elapsed:mm\\:ss}] {Path.Combine(folder, "summary.json")}");
        if (!isRight)
        {
            Console.Error.WriteLine("Some cases failed and are missing from the summary; see above.");
        }

        return isRight ? 0 : 1;
    }

    private static bool Child(Options options, PeerSettings settings, string verb, params string[] arguments)
    {
        string[] common = ["--threads", options.Threads.ToString(), .. options.Quick ? new[] { "--quick" } : []];
        return ChildProcess.RunSelf(settings.Variables, [verb, .. arguments, .. common]) == 0;
    }

    private static string Fresh(string folder, string name)
    {
        string path = Path.Combine(folder, name);
        File.Delete(path);
        return path;
    }
}
