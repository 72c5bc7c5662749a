using System.Globalization;

namespace Twintail.Data.Ingest;

/// <summary>Quantile buckets of a numeric column.</summary>
internal static class Quantiles
{
    /// <summary>
    /// Ascending edges e_1 &lt; ... &lt; e_(k-1) of at most <paramref name="buckets"/> buckets that hold about equally many values: bucket i
    /// is (e_(i-1), e_i]. Edges that repeated values make equal are merged, and none is at the maximum, so no bucket is empty.
    /// </summary>
    /// <param name="sorted">All values, ascending.</param>
    /// <param name="buckets">At most so many buckets.</param>
    public static double[] Edges(double[] sorted, int buckets)
    {
        var edges = new List<double>();
        for (int i = 1; i < buckets && sorted.Length > 0; i++)
        {
            long rank = (((long)sorted.Length * i) + buckets - 1) / buckets;
            double edge = sorted[Math.Max(rank, 1) - 1];
            if (edge < sorted[^1] && (edges.Count == 0 || edge > edges[^1]))
            {
                edges.Add(edge);
            }
        }

        return [.. edges];
    }

    /// <summary>Value id of a number: 1 + the number of edges below it; 0 for NaN.</summary>
    public static int Bucket(double[] edges, double value)
    {
        if (double.IsNaN(value))
        {
            return 0;
        }

        int index = Array.BinarySearch(edges, value);
        return 1 + (index >= 0 ? index : ~index);
    }

    /// <summary>Text of each bucket, the default's "" first.</summary>
    public static string[] Labels(double[] edges)
    {
        var labels = new string[edges.Length + 2];
        labels[0] = "";
        if (edges.Length == 0)
        {
            labels[1] = "any";
            return labels;
        }

        labels[1] = "≤ " + Format(edges[0]);
        for (int i = 1; i < edges.Length; i++)
        {
            labels[i + 1] = $"{Format(edges[i - 1])} – {Format(edges[i])}";
        }

        labels[^1] = "> " + Format(edges[^1]);
        return labels;
    }

    private static string Format(double value) => value.ToString("R", CultureInfo.InvariantCulture);
}
