using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;
using Perfolizer.Horology;
using Twintail.Bench.Running;

namespace Twintail.Bench.Sdk;

/// <summary>
/// Child process: <see cref="SdkCalls"/> by BenchmarkDotNet, within this process (no SDK needed on the machine). Its report goes into
/// the folder BenchmarkDotNet, a line for each call into the records. Options: --records FILE [--quick] [--out DIR]
/// </summary>
internal static class SdkCommand
{
    private const double MillisecondsPerNanosecond = 1e-6;

    public static int Run(Options options)
    {
        string folder = Path.Combine(options.Folder, "BenchmarkDotNet");
        Directory.CreateDirectory(folder);
        using var log = new StreamLogger(Path.Combine(folder, "log.txt"));
        Job job = Job.ShortRun
            .WithIterationCount(options.Quick ? 3 : 15)
            .WithIterationTime(TimeInterval.FromMilliseconds(options.Quick ? 100 : 500))
            .WithToolchain(InProcessEmitToolchain.Instance);
        IConfig config = ManualConfig.CreateEmpty()
            .AddJob(job)
            .AddLogger(log)
            .AddDiagnoser(MemoryDiagnoser.Default)
            .AddColumnProvider(DefaultColumnProviders.Instance)
            .AddExporter(MarkdownExporter.GitHub)
            .WithArtifactsPath(folder);
        BenchmarkDotNet.Reports.Summary summary = BenchmarkRunner.Run<SdkCalls>(config);
        foreach (BenchmarkReport report in summary.Reports.Where(report => report.ResultStatistics != null))
        {
            JsonLines.Append(options.Get("records"), ToRow(report));
        }

        bool isComplete = summary.Reports.Length == SdkCalls.Sizes.Count && summary.Reports.All(report => report.Success);
        if (!isComplete)
        {
            Console.Error.WriteLine($"Some calls failed; see {Path.Combine(folder, "log.txt")}");
        }

        return isComplete ? 0 : 1;
    }

    private static SummaryRow ToRow(BenchmarkReport report)
    {
        CaseId size = SdkCalls.Sizes[report.BenchmarkCase.Descriptor.WorkloadMethod.Name];
        return new SummaryRow
        {
            Case = size.Case,
            N = size.N,
            M = size.M,
            D = size.D,
            Threads = Environment.ProcessorCount,
            Dtype = "float32",
            MsMedian = report.ResultStatistics!.Median * MillisecondsPerNanosecond,
            MsMin = report.ResultStatistics.Min * MillisecondsPerNanosecond,
            ManagedBytes = report.GcStats.GetBytesAllocatedPerOperation(report.BenchmarkCase),
            Source = "benchmarkdotnet",
        };
    }
}
