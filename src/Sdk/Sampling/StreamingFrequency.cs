namespace Twintail.Sampling;

/// <summary>
/// Estimates from a stream of batches how often an item is in a batch (Yi et al., RecSys 2019, Algorithm 2), for data whose
/// frequencies are not known beforehand or drift. For each hash h of the item: the mean gap between its batches is followed by
/// B[h] ← (1 − α) B[h] + α (t − A[h]), A[h] ← t, and p = 1 / max over the hashes of B (collisions only make gaps shorter).
/// At first sight B[h] is the gap since the start itself, an estimate without the bias that a start at 0 would have.
/// </summary>
public sealed class StreamingFrequency
{
    private readonly long[][] _last;
    private readonly double[][] _gap;
    private readonly double _rate;

    /// <summary>Creates an estimator.</summary>
    /// <param name="buckets">Entries H per hash.</param>
    /// <param name="rate">α in (0, 1]; the paper takes 0.01.</param>
    /// <param name="hashes">Number of hash functions.</param>
    /// <exception cref="BadArgumentException">A value is out of range.</exception>
    public StreamingFrequency(int buckets, double rate = 0.01, int hashes = 1)
    {
        if (buckets < 1 || hashes < 1)
        {
            throw new BadArgumentException("buckets, hashes", "at least 1", $"{buckets}, {hashes}");
        }

        if (!(rate > 0 && rate <= 1))
        {
            throw new BadArgumentException(nameof(rate), "a number in (0, 1]", $"{rate}");
        }

        _rate = rate;
        _last = new long[hashes][];
        _gap = new double[hashes][];
        for (int hash = 0; hash < hashes; hash++)
        {
            _last[hash] = new long[buckets];
            _gap[hash] = new double[buckets];
        }
    }

    /// <summary>Batches seen so far, t.</summary>
    public long Step { get; private set; }

    /// <summary>Takes the next batch in; an item that is in it several times counts once.</summary>
    public void Observe(ReadOnlySpan<int> items)
    {
        Step++;
        foreach (int item in items.ToArray())
        {
            for (int hash = 0; hash < _last.Length; hash++)
            {
                int bucket = Bucket(item, hash);
                long gap = Step - _last[hash][bucket];
                if (gap > 0)
                {
                    bool first = _last[hash][bucket] == 0;
                    _gap[hash][bucket] = first ? gap : ((1 - _rate) * _gap[hash][bucket]) + (_rate * gap);
                    _last[hash][bucket] = Step;
                }
            }
        }
    }

    /// <summary>Probability that an item is in a batch; for an item never seen, that of one seen in the next batch for the first time.</summary>
    public double Probability(int item)
    {
        double gap = 0;
        for (int hash = 0; hash < _last.Length; hash++)
        {
            int bucket = Bucket(item, hash);
            gap = Math.Max(gap, _last[hash][bucket] == 0 ? Step + 1 : _gap[hash][bucket]);
        }

        return 1 / gap;
    }

    // The finalizer of MurmurHash3 (64 bits), which spreads consecutive numbers evenly.
    private int Bucket(int item, int hash)
    {
        ulong x = unchecked((uint)item + ((ulong)(hash + 1) * 0x9E3779B97F4A7C15ul));
        x = unchecked((x ^ (x >> 33)) * 0xFF51AFD7ED558CCDul);
        x = unchecked((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53ul);
        return (int)((x ^ (x >> 33)) % (ulong)_last[hash].Length);
    }
}
