namespace Twintail.Sampling;

/// <summary>Probabilities with which items become columns of the in-batch softmax, for its logQ correction.</summary>
public static class ClickProbabilities
{
    /// <summary>p_j: the share of item j in the training clicks, [items]; 0 without clicks.</summary>
    public static double[] Shares(IReadOnlyList<int> clicks)
    {
        double total = 0;
        foreach (int count in clicks)
        {
            total += count;
        }

        var shares = new double[clicks.Count];
        for (int item = 0; item < shares.Length; item++)
        {
            shares[item] = total > 0 ? clicks[item] / total : 0;
        }

        return shares;
    }

    /// <summary>
    /// What is subtracted from the logits: exponent · log Q_j. Without mixed negatives Q_j = p_j; with them (Yang et al. 2020) Q is the
    /// mixture of clicks and uniform draws in proportion n : B', Q_j = (n p_j + B' / items) / (n + B').
    /// </summary>
    /// <param name="clicks">Training clicks of each item.</param>
    /// <param name="exponent">1: the whole correction; less keeps a part of the bias.</param>
    /// <param name="batch">Clicks per step, n.</param>
    /// <param name="mixedNegatives">Uniformly drawn items per step, B'.</param>
    /// <returns>[items]; 0 for items that are never drawn.</returns>
    public static float[] LogQ(IReadOnlyList<int> clicks, double exponent = 1, int batch = 1, int mixedNegatives = 0)
    {
        double[] shares = Shares(clicks);
        var result = new float[shares.Length];
        for (int item = 0; item < result.Length; item++)
        {
            double q = ((batch * shares[item]) + ((double)mixedNegatives / shares.Length)) / ((double)batch + mixedNegatives);
            result[item] = q > 0 ? (float)(exponent * Math.Log(q)) : 0;
        }

        return result;
    }
}
