using Twintail.Sampling;

namespace Twintail.Evaluation;

/// <summary>
/// Means over users with percentile bootstrap intervals: as many users as there are are drawn with replacement, again and again, and
/// the 2.5 % and 97.5 % quantiles of the means are taken.
/// </summary>
internal static class Bootstrap
{
    public static EvaluationReport Report(string name, EvaluationOptions options, UserValues values, string coverageName)
    {
        double[][] draws = Draw(values, options.BootstrapSamples, options.Seed);
        var slices = new List<SliceReport>();
        int column = 0;
        foreach (SliceValues slice in values.Slices)
        {
            var metrics = new List<KeyValuePair<string, Estimate>>();
            double[] means = Means(values, slice);
            for (int metric = 0; metric < means.Length; metric++)
            {
                metrics.Add(new KeyValuePair<string, Estimate>(values.Metrics[metric], Interval(means[metric], draws[column++])));
            }

            metrics.Add(new KeyValuePair<string, Estimate>(coverageName, new Estimate(slice.Coverage, double.NaN, double.NaN)));
            slices.Add(new SliceReport(slice.Name, slice.Has.Count(x => x), slice.Pairs, slice.Items, metrics));
        }

        return new EvaluationReport(name, options, slices, values);
    }

    public static EvaluationReport Difference(EvaluationReport a, EvaluationReport b)
    {
        CheckComparable(a.Options, b.Options);
        var rowOfB = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int row = 0; row < b.Values.Users.Length; row++)
        {
            rowOfB[b.Values.Users[row]] = row;
        }

        int[] rowsA = Enumerable.Range(0, a.Values.Users.Length).Where(row => rowOfB.ContainsKey(a.Values.Users[row])).ToArray();
        if (rowsA.Length == 0)
        {
            throw new BadArgumentException("other", "a report with users of this one", "none in common");
        }

        int[] rowsB = Array.ConvertAll(rowsA, row => rowOfB[a.Values.Users[row]]);
        int metrics = a.Values.Metrics.Count;
        var slices = new List<SliceValues>();
        foreach (SliceValues sliceA in a.Values.Slices)
        {
            SliceValues? sliceB = b.Values.Slices.FirstOrDefault(x => x.Name == sliceA.Name);
            if (sliceB != null)
            {
                slices.Add(Subtract(sliceA, rowsA, sliceB, rowsB, metrics));
            }
        }

        var values = new UserValues(Array.ConvertAll(rowsA, row => a.Values.Users[row]), a.Values.Metrics, slices);
        EvaluationReport report = Report($"{a.Name} - {b.Name}", a.Options, values, $"coverage@{a.Options.Ks[0]}");
        report.CandidateCount = a.CandidateCount;
        return report;
    }

    private static SliceValues Subtract(SliceValues a, int[] rowsA, SliceValues b, int[] rowsB, int metrics)
    {
        var result = new SliceValues(a.Name, rowsA.Length, metrics)
        {
            Pairs = a.Pairs,
            Items = a.Items,
            Coverage = a.Coverage - b.Coverage,
        };
        for (int user = 0; user < rowsA.Length; user++)
        {
            result.Has[user] = a.Has[rowsA[user]] && b.Has[rowsB[user]];
            for (int metric = 0; metric < metrics; metric++)
            {
                result.Values[(user * metrics) + metric] =
                    a.Values[(rowsA[user] * metrics) + metric] - b.Values[(rowsB[user] * metrics) + metric];
            }
        }

        return result;
    }

    private static void CheckComparable(EvaluationOptions a, EvaluationOptions b)
    {
        string Describe(EvaluationOptions x) => $"splits {string.Join("+", x.Splits)}, candidates {x.Candidates}, ks {string.Join(",", x.Ks)}";
        if (Describe(a) != Describe(b))
        {
            throw new BadArgumentException("other", Describe(a), Describe(b));
        }
    }

    private static double[] Means(UserValues values, SliceValues slice)
    {
        int metrics = values.Metrics.Count;
        var sums = new double[metrics];
        int users = 0;
        for (int user = 0; user < slice.Has.Length; user++)
        {
            if (slice.Has[user])
            {
                users++;
                for (int metric = 0; metric < metrics; metric++)
                {
                    sums[metric] += slice.Values[(user * metrics) + metric];
                }
            }
        }

        return Array.ConvertAll(sums, sum => users > 0 ? sum / users : double.NaN);
    }

    /// <summary>[slice and metric][sample]: means of the resampled users. Samples are independent, so threads do not matter.</summary>
    private static double[][] Draw(UserValues values, int samples, long seed)
    {
        int users = values.Users.Length;
        int metrics = values.Metrics.Count;
        int columns = values.Slices.Count * metrics;
        var draws = new double[columns][];
        for (int column = 0; column < columns; column++)
        {
            draws[column] = new double[samples];
        }

        var random = new Philox(seed, Purpose.Resample);
        Parallel.For(0, samples, sample =>
        {
            var times = new int[users];
            for (int i = 0; i < users; i++)
            {
                times[random.Below(users, (uint)i, 0, sample)]++;
            }

            for (int s = 0; s < values.Slices.Count; s++)
            {
                double[] means = WeightedMeans(values.Slices[s], times, metrics);
                for (int metric = 0; metric < metrics; metric++)
                {
                    draws[(s * metrics) + metric][sample] = means[metric];
                }
            }
        });
        return draws;
    }

    private static double[] WeightedMeans(SliceValues slice, int[] times, int metrics)
    {
        var sums = new double[metrics];
        long users = 0;
        for (int user = 0; user < times.Length; user++)
        {
            if (times[user] > 0 && slice.Has[user])
            {
                users += times[user];
                for (int metric = 0; metric < metrics; metric++)
                {
                    sums[metric] += times[user] * slice.Values[(user * metrics) + metric];
                }
            }
        }

        return Array.ConvertAll(sums, sum => sum / users); // NaN where nobody of the slice was drawn
    }

    private static Estimate Interval(double mean, double[] draws)
    {
        double[] sorted = draws.Where(x => !double.IsNaN(x)).OrderBy(x => x).ToArray();
        return sorted.Length == 0
            ? new Estimate(mean, double.NaN, double.NaN)
            : new Estimate(mean, Quantile(sorted, 0.025), Quantile(sorted, 0.975));
    }

    private static double Quantile(double[] sorted, double q)
    {
        double at = q * (sorted.Length - 1);
        int below = (int)at;
        int above = Math.Min(below + 1, sorted.Length - 1);
        return sorted[below] + ((at - below) * (sorted[above] - sorted[below]));
    }
}
