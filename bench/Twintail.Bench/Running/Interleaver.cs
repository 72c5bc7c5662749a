using System.Diagnostics;

namespace Twintail.Bench.Running;

/// <summary>What a contender's runs took.</summary>
/// <param name="Contender">Who.</param>
/// <param name="Milliseconds">Time of each run.</param>
/// <param name="AllocatedBytes">Median of the managed bytes that a run allocated, on any thread.</param>
/// <param name="Peaks">What the machine could do after each run, in units of the work a second; empty where there is no such limit.</param>
internal sealed record Timing(Contender Contender, IReadOnlyList<double> Milliseconds, double AllocatedBytes, IReadOnlyList<double> Peaks);

/// <summary>
/// Times contenders in turns, so that whatever else the machine does hits all of them alike. They have run once before
/// (by the comparison of results).
/// </summary>
/// <param name="MinRounds">At least so many turns.</param>
/// <param name="MaxRounds">At most so many.</param>
/// <param name="Seconds">No further turn after so long.</param>
internal sealed record Interleaver(int MinRounds, int MaxRounds, double Seconds)
{
    // OpenMP threads that one contender has left spinning take a core from the next one for up to a time slice.
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LongestSettle = TimeSpan.FromMilliseconds(300);

    // Longer runs need no run before them that wakes threads and fills caches.
    private const double WarmUpBelowMilliseconds = 250;

    /// <param name="contenders">Whom.</param>
    /// <param name="peak">What the machine can do at the moment, for a contender; null where there is no limit.</param>
    public IReadOnlyList<Timing> Time(IReadOnlyList<Contender> contenders, Func<Contender, double?> peak)
    {
        var times = contenders.Select(_ => new List<double>()).ToArray();
        var bytes = contenders.Select(_ => new List<double>()).ToArray();
        var peaks = contenders.Select(_ => new List<double>()).ToArray();
        Round(contenders, 0, null, null, null, peak);
        var clock = Stopwatch.StartNew();
        for (int round = 0; round < MinRounds || (round < MaxRounds && clock.Elapsed.TotalSeconds < Seconds); round++)
        {
            Round(contenders, round, times, bytes, peaks, peak);
        }

        return [.. contenders.Select((contender, i) => new Timing(contender, times[i], Statistics.Median(bytes[i]), peaks[i]))];
    }

    private static void Round(
        IReadOnlyList<Contender> contenders, int round, List<double>[]? times, List<double>[]? bytes, List<double>[]? peaks, Func<Contender, double?> peak)
    {
        for (int turn = 0; turn < contenders.Count; turn++)
        {
            // Everyone comes after everyone else equally often.
            int i = (turn + round) % contenders.Count;
            WaitUntilIdle();
            // As in a training loop, where the step before has woken the threads and nobody else has emptied the caches.
            if (times == null || times[i].Count == 0 || times[i][^1] < WarmUpBelowMilliseconds)
            {
                contenders[i].Run();
            }

            long allocated = GC.GetTotalAllocatedBytes(precise: true);
            long start = Stopwatch.GetTimestamp();
            contenders[i].Run();
            double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
            times?[i].Add(elapsed);
            bytes?[i].Add(allocated);
            if (peaks != null && contenders[i].Role == Role.Ours && peak(contenders[i]) is { } limit)
            {
                peaks[i].Add(limit);
            }
        }
    }

    /// <summary>Returns when the threads of this process have used no processor time for a while.</summary>
    private static void WaitUntilIdle()
    {
        using var process = Process.GetCurrentProcess();
        var clock = Stopwatch.StartNew();
        TimeSpan used;
        TimeSpan before;
        do
        {
            before = process.TotalProcessorTime;
            Thread.Sleep(Settle);
            process.Refresh();
            used = process.TotalProcessorTime - before;
        }
        while (used > Settle / 5 && clock.Elapsed < LongestSettle);
    }
}
