namespace Twintail.Tests.Ops;

/// <summary>
/// Random inputs that differ in every run. The seed is in the test's output, which a failure shows; the environment variable
/// TWINTAIL_TEST_SEED repeats it.
/// </summary>
internal sealed class Draw
{
    private readonly Random _random;

    private Draw(int seed)
    {
        Seed = seed;
        _random = new Random(seed);
    }

    public int Seed { get; }

    public static Draw Fresh()
    {
        int seed = int.TryParse(Environment.GetEnvironmentVariable("TWINTAIL_TEST_SEED"), out int given)
            ? given
            : Random.Shared.Next();
        TestContext.Out.WriteLine($"TWINTAIL_TEST_SEED={seed}");
        return new Draw(seed);
    }

    public double Uniform(double lo = 0, double hi = 1) => lo + ((hi - lo) * _random.NextDouble());

    public int Int(int lo, int hi) => _random.Next(lo, hi);

    public bool Chance(double probability) => _random.NextDouble() < probability;

    public ulong Bits() => (ulong)_random.NextInt64(long.MinValue, long.MaxValue);

    public float Normal()
    {
        double radius = Math.Sqrt(-2 * Math.Log(1 - _random.NextDouble()));
        return (float)(radius * Math.Cos(2 * Math.PI * _random.NextDouble()));
    }

    public float[] Normals(long count, float scale = 1) => Fill(count, () => scale * Normal());

    public int[] Ints(long count, int lo, int hi) => Fill(count, () => Int(lo, hi));

    public float[] Uniforms(long count, double lo, double hi) => Fill(count, () => (float)Uniform(lo, hi));

    /// <summary>Logs of probabilities whose size is spread evenly from lo to hi.</summary>
    public float[] LogProbabilities(long count, double lo = 1e-9, double hi = .5) =>
        Fill(count, () => (float)Uniform(Math.Log(lo), Math.Log(hi)));

    /// <summary>0 .. count - 1 in random order.</summary>
    public int[] Permutation(int count)
    {
        int[] result = [.. Enumerable.Range(0, count)];
        _random.Shuffle(result);
        return result;
    }

    public T[] Fill<T>(long count, Func<T> make)
    {
        var result = new T[count];
        for (long i = 0; i < count; i++)
        {
            result[i] = make();
        }

        return result;
    }

    /// <summary>Sets some whole rows of a matrix to zero.</summary>
    public void ZeroRows(float[] matrix, int columns, double share)
    {
        for (int row = 0; row < matrix.Length / columns; row++)
        {
            if (Chance(share))
            {
                Array.Clear(matrix, row * columns, columns);
            }
        }
    }
}
