namespace Twintail.Bench.Data;

/// <summary>Splitmix64 (Steele, Lea and Flood, OOPSLA 2014): a small generator that gives the same data on every machine.</summary>
internal struct SplitMix(ulong seed)
{
    private ulong _state = seed;

    /// <summary>64 uniform bits.</summary>
    public ulong Next()
    {
        ulong z = _state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    /// <summary>Uniform in [0, 1).</summary>
    public double Unit() => (Next() >> 11) * (1.0 / (1L << 53));

    /// <summary>Uniform in [-1, 1).</summary>
    public float Signed() => ((Next() >> 40) * (1f / (1 << 23))) - 1f;

    /// <summary>Uniform in [0, bound).</summary>
    public int Below(int bound) => (int)(((Next() >> 32) * (ulong)bound) >> 32);

    /// <summary>A value id in [1, vocabulary) with a long tail: cubing crowds the draws at the low ids.</summary>
    public int Popular(int vocabulary)
    {
        double u = Unit();
        return 1 + Math.Min(vocabulary - 2, (int)((vocabulary - 1) * u * u * u));
    }

    /// <summary>An array of numbers uniform in [-range, range).</summary>
    public static float[] Uniform(ulong seed, long count, float range = 1)
    {
        var random = new SplitMix(seed);
        var values = new float[count];
        for (long i = 0; i < count; i++)
        {
            values[i] = range * random.Signed();
        }

        return values;
    }
}
