using Twintail.Bench.Cases;
using Twintail.Bench.Machine;
using static TorchSharp.torch;

namespace Twintail.Bench.Running;

/// <summary>
/// Child process: times the cases of a group, all contenders in turns, and appends a record for each.
/// Options: --group NAME, or --case NAME:NxMxD --contenders A,B,C; --settings NAME --records FILE [--quick] [--threads N]
/// </summary>
internal static class MeasureCommand
{
    public static int Run(Options options)
    {
        set_num_threads(options.Threads);
        bool isRight = true;
        foreach (var (id, contenders) in Cases(options))
        {
            isRight &= TryMeasure(id, new CaseOptions(options.Threads, Lineup.Supported(contenders)), options);
        }

        return isRight ? 0 : 1;
    }

    private static IEnumerable<(CaseId Id, IReadOnlyList<string> Contenders)> Cases(Options options) => options.Has("case")
        ? [(CaseId.Parse(options.Get("case")), options.Get("contenders").Split(','))]
        : Plan.Of(options.Quick).Where(item => item.Group == options.Get("group")).Select(item => (item.Id, item.Contenders));

    private static bool TryMeasure(CaseId id, CaseOptions caseOptions, Options options)
    {
        try
        {
            Measure(id, caseOptions, options);
            return true;
        }
        catch (Exception error) when (error is WrongResultException or TwintailException)
        {
            // The other cases are still worth timing; the exit code tells.
            Console.Error.WriteLine($"not timed: {error.Message}");
            return false;
        }
    }

    private static void Measure(CaseId id, CaseOptions caseOptions, Options options)
    {
        using BenchCase @case = CaseFactory.Create(id, caseOptions);
        @case.Verify();
        using var probe = new PeakProbe(caseOptions.Threads, @case.Work.Unit);
        Interleaver interleaver = options.Quick ? new(3, 15, 1.5) : new(7, 41, 10);
        foreach (Timing timing in interleaver.Time(@case.Contenders, contender => probe.Of(contender.Isa, contender.Dtype)))
        {
            JsonLines.Append(options.Get("records"), ToRecord(@case, timing, caseOptions.Threads, options.Get("settings")));
        }
    }

    private static TimingRecord ToRecord(BenchCase @case, Timing timing, int threads, string settings) => new()
    {
        Case = @case.Id.Case,
        N = @case.Id.N,
        M = @case.Id.M,
        D = @case.Id.D,
        Threads = threads,
        Contender = timing.Contender.Name,
        Role = timing.Contender.Role,
        Dtype = timing.Contender.Dtype,
        Isa = timing.Contender.Isa,
        Settings = settings,
        Milliseconds = timing.Milliseconds,
        AllocatedBytes = timing.AllocatedBytes,
        Work = @case.Work.Amount,
        Difference = @case.Differences.TryGetValue(timing.Contender.Name, out double difference) ? difference : null,
        Peaks = timing.Peaks,
    };
}
