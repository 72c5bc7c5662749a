namespace Twintail.Bench.Cases;

/// <summary>Who takes part, by name.</summary>
internal static class Lineup
{
    public const string Twintail = "twintail";

    public const string TorchNaive = "torchsharp-naive";

    public const string TorchBest = "torchsharp-best";

    private const string Bfloat16 = "bfloat16";

    /// <summary>Twintail and both peers.</summary>
    public static IReadOnlyList<string> Everybody { get; } = [Twintail, TorchNaive, TorchBest];

    /// <summary>The same, and Twintail on its other instruction sets and with bfloat16 in the losses' products.</summary>
    public static IReadOnlyList<string> WithVariants { get; } =
        [.. Everybody, Twintail + "-avx2", Twintail + "-portable", Twintail + "-" + Bfloat16];

    /// <summary>Without the variants of Twintail that this machine cannot run.</summary>
    public static IReadOnlyList<string> Supported(IEnumerable<string> names)
    {
        IReadOnlyList<CpuIsa> isas = Device.AvailableIsas;
        using Device device = Device.Cpu(1);
        return [.. names.Where(name => Variant(name) switch
        {
            Bfloat16 => device.Info.HasBfloat16,
            { } variant when Enum.TryParse(variant, ignoreCase: true, out CpuIsa isa) => isas.Contains(isa),
            _ => true,
        })];
    }

    /// <summary>Name, instruction set and precision of those that are Twintail.</summary>
    public static IEnumerable<(string Name, CpuIsa Isa, Ops.Precision Precision)> Ours(IEnumerable<string> names)
    {
        foreach (string name in names.Where(name => name.StartsWith(Twintail, StringComparison.Ordinal)))
        {
            string? variant = Variant(name);
            CpuIsa isa = Enum.TryParse(variant, ignoreCase: true, out CpuIsa parsed) ? parsed : CpuIsa.Best;
            yield return (name, isa, variant == Bfloat16 ? Ops.Precision.Bfloat16 : Ops.Precision.Float32);
        }
    }

    private static string? Variant(string name) => name.StartsWith(Twintail + "-", StringComparison.Ordinal) ? name[(Twintail.Length + 1)..] : null;
}
