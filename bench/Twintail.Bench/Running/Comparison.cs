namespace Twintail.Bench.Running;

/// <summary>Compares what contenders compute.</summary>
internal static class Comparison
{
    /// <summary>Runs all and holds every output against that of the first contender of role Naive, or else of the first.</summary>
    /// <param name="case">Whose contenders.</param>
    /// <param name="tolerance">Accepted difference by dtype and output; infinite: not compared.</param>
    /// <param name="rowsLeftOut">See <see cref="BenchCase.RowsLeftOut"/>.</param>
    /// <returns>The largest difference found, by contender.</returns>
    /// <exception cref="WrongResultException">A difference is not accepted.</exception>
    public static IReadOnlyDictionary<string, double> Check(BenchCase @case, Func<string, string, double> tolerance, double rowsLeftOut)
    {
        var largest = new Dictionary<string, double>();
        foreach (Contender contender in @case.Contenders)
        {
            contender.Run();
        }

        Contender reference = @case.Contenders.FirstOrDefault(c => c.Role == Role.Naive) ?? @case.Contenders[0];
        Dictionary<string, Output> expected = reference.Outputs().ToDictionary(output => output.Name);
        foreach (Contender contender in @case.Contenders.Where(c => c != reference))
        {
            foreach (Output output in contender.Outputs())
            {
                double accepted = tolerance(contender.Dtype, output.Name);
                double difference = double.IsInfinity(accepted) ? 0 : Difference(output, expected[output.Name], rowsLeftOut);
                if (!(difference <= accepted))
                {
                    throw new WrongResultException(
                        $"{@case.Id}: {output.Name} of {contender.Name} differs from {reference.Name} by {difference:E1}, accepted {accepted:E1}");
                }

                largest[contender.Name] = Math.Max(largest.GetValueOrDefault(contender.Name), difference);
            }
        }

        return largest;
    }

    /// <summary>|a - b| / |b| in the 2-norm; NaN where a value is NaN, infinite where the lengths differ.</summary>
    private static double Difference(Output a, Output b, double rowsLeftOut)
    {
        if (a.Length != b.Length)
        {
            return double.PositiveInfinity;
        }

        double norm = 0;
        double[] errors = new double[a.Length / a.Width]; // of each row
        for (long i = 0; i < a.Length; i++)
        {
            double difference = a[i] - (double)b[i];
            errors[i / a.Width] += difference * difference;
            norm += (double)b[i] * b[i];
        }

        if (a.Width > 1 && rowsLeftOut > 0 && !errors.Any(double.IsNaN))
        {
            Array.Sort(errors);
            errors.AsSpan(errors.Length - (int)Math.Ceiling(rowsLeftOut * errors.Length)).Clear();
        }

        double error = errors.Sum();
        return norm > 0 ? Math.Sqrt(error / norm) : Math.Sqrt(error);
    }
}
