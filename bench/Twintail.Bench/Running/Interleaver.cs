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
    // Threads that the one before has left spinning are asleep after this.
    private static readonly TimeSpan Settle = TimeSpan.FromMilliseconds(5);

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
            Thread.Sleep(Settle);
            long allocated = GC.GetTotalAllocatedBytes(precise: true);
            long start = Stopwatch.GetTimestamp();
            contenders[i].Run();
            double elapsed = Stopwatch.GetElapsedTime(start).TotalMilliseconds;
            allocated = GC.GetTotalAllocatedBytes(precise: true) - allocated;
            times?[i].Add(elapsed);
            bytes?[i].Add(allocated);
        }
    }
}
