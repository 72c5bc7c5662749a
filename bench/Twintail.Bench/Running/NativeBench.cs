using System.Diagnostics;

namespace Twintail.Bench.Running;

/// <summary>The benches of single kernels, written in C++: one JSON object a line.</summary>
internal static class NativeBench
{
    public static IReadOnlyList<SummaryRow> Run(Options options, Stopwatch clock)
    {
        string program = options.Get("native", Path.Combine(Options.Root, "artifacts", "build", "release", "bin", "twintail_bench"));
        if (!File.Exists(program))
        {
            Console.WriteLine($"No native bench at {program}, so its lines are missing from the summary.");
            return [];
        }

        Console.WriteLine($"[{clock.Elapsed:mm\\:ss}] {program}");
        var (exitCode, lines) = ChildProcess.Capture(program, options.Quick ? ["--quick", $"--threads={options.Threads}"] : []);
        return exitCode == 0
            ? [.. Summary.NativeRows(lines)]
            : throw new InvalidOperationException($"{program} ended with exit code {exitCode}");
    }
}
