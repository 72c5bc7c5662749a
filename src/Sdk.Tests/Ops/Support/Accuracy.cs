namespace Twintail.Tests.Ops;

/// <summary>
/// Judges float32 results as FlashAttention does: against float64, by the error that the same computation in plain TorchSharp
/// makes in float32. Ours may be at most twice as large, plus a few units in the last place of the largest value. How TorchSharp
/// rounds is as luck has it, so its error is the largest of several runs that round otherwise: with the terms in another order,
/// and rows of another length where only their direction counts.
/// </summary>
internal static class Accuracy
{
    /// <summary>How many runs TorchSharp is given.</summary>
    /// <remarks>
    /// At τ = 0.01 a handful of cosines decide a whole gradient, so errors are as luck has it: twice the largest of 20 tries
    /// is about 3.7 standard deviations.
    /// </remarks>
    public const int Orders = 20;

    private const double Ulp = 1.0 / (1 << 23);

    // float64 has errors too: of 1e-16 relative to numbers up to 1/τ = 100.
    private const double ErrorOfExact = 1e-13;

    /// <param name="what">Name of the result, for the message.</param>
    /// <param name="ours">Our result.</param>
    /// <param name="exact">The same in float64.</param>
    /// <param name="torch">The same in TorchSharp's float32, once for each run.</param>
    /// <param name="ulps">How many units in the last place are allowed beside.</param>
    /// <param name="size">Size of the numbers whose difference the result is: one unit in the last place of it is allowed too.</param>
    public static void Check(string what, float[] ours, double[] exact, IEnumerable<double[]> torch, double ulps = 4, double size = 0)
    {
        Assert.That(ours, Has.Length.EqualTo(exact.Length), what);
        double largest = exact.Length == 0 ? 0 : exact.Max(Math.Abs);
        double torchError = torch.Max(values => Error(values, exact, out _));
        double allowed = (2 * torchError) + (Ulp * ((ulps * largest) + size)) + ErrorOfExact;
        double error = Error(Array.ConvertAll(ours, x => (double)x), exact, out int where);
        if (!(error <= allowed))
        {
            Assert.Fail(
                $"{what}[{where}]: expected {exact[where]:R}, got {ours[where]:R}; error {error:E2}, allowed {allowed:E2}, "
                + $"TorchSharp's error in float32 {torchError:E2}, largest value {largest:E2}");
        }
    }

    public static void Check(string what, double ours, double exact, IEnumerable<double> torch, double ulps = 4, double size = 0)
    {
        double torchError = torch.Max(value => Math.Abs(value - exact));
        double allowed = (2 * torchError) + (Ulp * ((ulps * Math.Abs(exact)) + size)) + ErrorOfExact;
        double error = Math.Abs(ours - exact);
        if (!(error <= allowed))
        {
            Assert.Fail($"{what}: expected {exact:R}, got {ours:R}; error {error:E2}, allowed {allowed:E2}, TorchSharp's {torchError:E2}");
        }
    }

    private static double Error(double[] values, double[] exact, out int where)
    {
        double worst = 0;
        where = 0;
        for (int i = 0; i < exact.Length; i++)
        {
            double error = values[i].Equals(exact[i]) ? 0 : Math.Abs(values[i] - exact[i]);
            if (double.IsNaN(error) || error > worst)
            {
                worst = double.IsNaN(error) ? double.PositiveInfinity : error;
                where = i;
            }
        }

        return worst;
    }
}
