using Twintail.Bench.Cases;
using static TorchSharp.torch;

namespace Twintail.Bench.Running;

/// <summary>
/// Child process: peak memory of one contender beyond its input, results included. A small case first, so that what a
/// library sets up once is not counted. Options: --case NAME:NxMxD --contender NAME --records FILE [--threads N]
/// </summary>
internal static class MemoryCommand
{
    private const int Runs = 3;

    public static int Run(Options options)
    {
        set_num_threads(options.Threads);
        CaseId id = CaseId.Parse(options.Get("case"));
        var caseOptions = new CaseOptions(options.Threads, [options.Get("contender")]);
        using (BenchCase small = CaseFactory.Create(Small(id), caseOptions))
        {
            RunAll(small);
        }

        using BenchCase @case = CaseFactory.Create(id, caseOptions);
        GC.Collect();
        GC.WaitForPendingFinalizers();
        GC.Collect();
        double before = ProcessMemory.ResidentMiB;
        ProcessMemory.ResetPeak();
        RunAll(@case);
        double extra = Math.Max(0, ProcessMemory.PeakMiB - before);
        JsonLines.Append(options.Get("records"), new MemoryRecord(id.Case, id.N, id.M, id.D, options.Get("contender"), extra));
        return 0;
    }

    private static void RunAll(BenchCase @case)
    {
        for (int run = 0; run < Runs; run++)
        {
            @case.Contenders[0].Run();
        }
    }

    private static CaseId Small(CaseId id) => id with { N = Math.Min(id.N, 256), M = id.N == id.M ? Math.Min(id.M, 256) : Math.Min(id.M, 3200) };
}
