namespace Twintail.Bench.Cases;

/// <summary>How a case is set up.</summary>
/// <param name="Threads">Of Twintail and of libtorch alike.</param>
/// <param name="Contenders">Names of those to set up.</param>
internal sealed record CaseOptions(int Threads, IReadOnlyList<string> Contenders)
{
    public const string Twintail = "twintail";

    public const string TorchNaive = "torchsharp-naive";

    public const string TorchBest = "torchsharp-best";

    /// <summary>Twintail and both peers.</summary>
    public static IReadOnlyList<string> Everybody { get; } = [Twintail, TorchNaive, TorchBest];

    public bool Has(string contender) => Contenders.Contains(contender);

    /// <summary>Twintail's contenders: name, instruction set and precision. Names are "twintail", "twintail-avx2", "twintail-bfloat16", ...</summary>
    public IEnumerable<(string Name, CpuIsa Isa, Ops.Precision Precision)> Ours()
    {
        foreach (string name in Contenders.Where(name => name.StartsWith(Twintail, StringComparison.Ordinal)))
        {
            string variant = name[Twintail.Length..].TrimStart('-');
            CpuIsa isa = Enum.TryParse(variant, ignoreCase: true, out CpuIsa parsed) ? parsed : CpuIsa.Best;
            yield return (name, isa, variant == "bfloat16" ? Ops.Precision.Bfloat16 : Ops.Precision.Float32);
        }
    }
}
