using System.Diagnostics;

namespace Twintail.Bench.Running;

/// <summary>What a contender's runs took.</summary>
/// <param name="Contender">Who.</param>
/// <param name="Milliseconds">Time of each run.</param>
/// <param name="AllocatedBytes">Median of the managed bytes that a run allocated, on any thread.</param>
internal sealed record Timing(Contender Contender, IReadOnlyList<double> Milliseconds, double AllocatedBytes);

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

    public IReadOnlyList<Timing> Time(IReadOnlyList<Contender> contenders)
    {
        var times = contenders.Select(_ => new List<double>()).ToArray();
        var bytes = contenders.Select(_ => new List<double>()).ToArray();
        Round(contenders, 0, null, null);
        var clock = Stopwatch.StartNew();
        for (int round = 0; round < MinRounds || (round < MaxRounds && clock.Elapsed.TotalSeconds < Seconds); round++)
        {
            Round(contenders, round, times, bytes);
        }

        return [.. contenders.Select((contender, i) => new Timing(contender, times[i], Statistics.Median(bytes[i])))];
    }

    private static void Round(IReadOnlyList<Contender> contenders, int round, List<double>[]? times, List<double>[]? bytes)
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
