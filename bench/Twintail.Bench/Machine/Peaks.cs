namespace Twintail.Bench.Machine;

/// <summary>The machine's measured limits; 0 where not measured.</summary>
/// <param name="Avx512">float32 operations a second.</param>
/// <param name="Avx2">float32 operations a second.</param>
/// <param name="Copy">Bytes a second.</param>
internal sealed record Peaks(double Avx512, double Avx2, double Copy)
{
    /// <summary>Measures what work of this unit ("flop" or "byte") is held against.</summary>
    public static Peaks Measure(int threads, string unit) => unit == "byte"
        ? new(0, 0, PeakProbe.CopyBytes(threads))
        : new(PeakProbe.HasAvx512 ? PeakProbe.Flops(threads, wide: true) : 0, PeakProbe.HasAvx2 ? PeakProbe.Flops(threads, wide: false) : 0, 0);

    /// <summary>The larger of each.</summary>
    public Peaks Max(Peaks other) => new(Math.Max(Avx512, other.Avx512), Math.Max(Avx2, other.Avx2), Math.Max(Copy, other.Copy));

    /// <summary>
    /// The limit of a contender; null where there is none here: for the portable path, and for bfloat16, whose
    /// instruction C# does not offer (the native bench has that peak).
    /// </summary>
    public double? Of(string unit, string? isa, string dtype)
    {
        double limit = unit == "byte" ? Copy : (isa, dtype) switch
        {
            ("avx512", "float32") => Avx512,
            ("avx2", "float32") => Avx2,
            (null, "float32") => Math.Max(Avx512, Avx2),
            _ => 0,
        };
        return limit > 0 ? limit : null;
    }
}
