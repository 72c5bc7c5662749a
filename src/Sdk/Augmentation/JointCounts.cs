namespace Twintail.Augmentation;

/// <summary>Mutual information and entropies of a contingency table given by its cells that are not empty.</summary>
internal readonly struct JointCounts
{
    /// <summary>Computes all three.</summary>
    /// <param name="a">First value of each cell.</param>
    /// <param name="b">Second value of each cell.</param>
    /// <param name="counts">Count of each cell.</param>
    public JointCounts(int[] a, int[] b, long[] counts)
    {
        var marginalA = new long[a.Length == 0 ? 0 : a.Max() + 1];
        var marginalB = new long[b.Length == 0 ? 0 : b.Max() + 1];
        double total = 0;
        for (int cell = 0; cell < counts.Length; cell++)
        {
            marginalA[a[cell]] += counts[cell];
            marginalB[b[cell]] += counts[cell];
            total += counts[cell];
        }

        double sum = 0;
        for (int cell = 0; cell < counts.Length; cell++)
        {
            double count = counts[cell];
            sum += count * Math.Log(count * total / ((double)marginalA[a[cell]] * marginalB[b[cell]]));
        }

        MutualInformation = total > 0 ? Math.Max(0, sum / total) : 0;
        EntropyA = Entropy(marginalA);
        EntropyB = Entropy(marginalB);
    }

    /// <summary>In nats.</summary>
    public double MutualInformation { get; }

    /// <summary>Entropy of the first value, in nats.</summary>
    public double EntropyA { get; }

    /// <summary>Entropy of the second value, in nats.</summary>
    public double EntropyB { get; }

    /// <summary>−Σ p log p.</summary>
    public static double Entropy(long[] counts)
    {
        double total = counts.Sum();
        double sum = 0;
        foreach (long count in counts)
        {
            sum += count > 0 ? count * Math.Log(total / count) : 0;
        }

        return total > 0 ? sum / total : 0;
    }
}
