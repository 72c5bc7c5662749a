namespace Twintail.Tests.Ops;

/// <summary>
/// Judges float32 results as FlashAttention does: against float64, by the error that the same computation in plain TorchSharp
/// makes in float32. Ours may be at most twice as large, plus a few units in the last place of the largest value.
/// </summary>
internal static class Accuracy
{
    private const double Ulp = 1.0 / (1 << 23);

    public static void Check(string what, float[] ours, double[] exact, double[] torch, double ulps = 4)
    {
        Assert.That(ours, Has.Length.EqualTo(exact.Length), what);
        double largest = exact.Length == 0 ? 0 : exact.Max(Math.Abs);
        double allowed = (2 * Error(torch, exact, out _)) + (ulps * Ulp * largest) + 1e-30;
        double error = Error(Array.ConvertAll(ours, x => (double)x), exact, out int where);
        if (!(error <= allowed))
        {
            Assert.Fail(
                $"{what}[{where}]: expected {exact[where]:R} (TorchSharp in float32: {torch[where]:R}), got {ours[where]:R}; "
                + $"error {error:E2}, allowed {allowed:E2}, largest value {largest:E2}");
        }
    }

    public static void Check(string what, double ours, double exact, double torch, double ulps = 4)
    {
        double allowed = (2 * Math.Abs(torch - exact)) + (ulps * Ulp * Math.Abs(exact)) + 1e-30;
        double error = Math.Abs(ours - exact);
        if (!(error <= allowed))
        {
            Assert.Fail($"{what}: expected {exact:R} (TorchSharp in float32: {torch:R}), got {ours:R}; error {error:E2}, allowed {allowed:E2}");
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
