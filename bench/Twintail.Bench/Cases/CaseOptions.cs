namespace Twintail.Bench.Cases;

/// <summary>How a case is set up.</summary>
/// <param name="Threads">Of Twintail and of libtorch alike.</param>
/// <param name="Names">Of those to set up; see <see cref="Lineup"/>.</param>
internal sealed record CaseOptions(int Threads, IReadOnlyList<string> Names)
{
    public bool Has(string contender) => Names.Contains(contender);

    /// <summary>Twintail's contenders: name, instruction set and precision.</summary>
    public IEnumerable<(string Name, CpuIsa Isa, Ops.Precision Precision)> Ours() => Lineup.Ours(Names);

    /// <summary>The same for work without a choice of precision.</summary>
    public IEnumerable<(string Name, CpuIsa Isa)> OursInFloat32() =>
        Ours().Where(ours => ours.Precision == Ops.Precision.Float32).Select(ours => (ours.Name, ours.Isa));
}
