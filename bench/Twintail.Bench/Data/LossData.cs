namespace Twintail.Bench.Data;

/// <summary>
/// Input of a loss: n queries and m candidates of width d, of which candidate i is correlated with query i, and log q.
/// Vectors are not normalised; that is part of the work.
/// </summary>
internal sealed class LossData
{
    public const float Temperature = 0.05f;

    public LossData(int n, int m, int d)
    {
        (N, M, D) = (n, m, d);
        Queries = SplitMix.Uniform(42, (long)n * d);
        Candidates = SplitMix.Uniform(43, (long)m * d);
        for (long i = 0; i < (long)Math.Min(n, m) * d; i++)
        {
            Candidates[i] += 0.5f * Queries[i];
        }

        // Click probabilities from e^-12 to e^-3, as a long-tailed catalogue has.
        LogQ = SplitMix.Uniform(44, m, 4.5f);
        for (int j = 0; j < m; j++)
        {
            LogQ[j] -= 7.5f;
        }
    }

    public int N { get; }

    public int M { get; }

    public int D { get; }

    /// <summary>[n, d].</summary>
    public float[] Queries { get; }

    /// <summary>[m, d].</summary>
    public float[] Candidates { get; }

    /// <summary>[m].</summary>
    public float[] LogQ { get; }
}
