namespace Twintail.Bench.Running;

/// <summary>
/// Which work at which size; written "loss_forward_backward:8192x8192x64". What n, m and d mean is said by the case:
/// queries, candidates, width; or batch rows, table rows, width of the gathered vector.
/// </summary>
internal sealed record CaseId(string Case, int N, int M, int D)
{
    public override string ToString() => $"{Case}:{N}x{M}x{D}";

    public static CaseId Parse(string text)
    {
        string[] parts = text.Split(':', 'x');
        return parts.Length == 4 && int.TryParse(parts[1], out int n) && int.TryParse(parts[2], out int m) && int.TryParse(parts[3], out int d)
            ? new CaseId(parts[0], n, m, d)
            : throw new FormatException($"case: expected NAME:NxMxD, got '{text}'");
    }
}

/// <summary>What a piece of work costs at least, against which <see cref="Machine.PeakProbe"/> sets its time.</summary>
/// <param name="Amount">Of one run.</param>
/// <param name="Unit">"flop" or "byte".</param>
internal sealed record Work(double Amount, string Unit)
{
    public static Work Flops(double amount) => new(amount, "flop");

    public static Work Bytes(double amount) => new(amount, "byte");
}

/// <summary>One work at one size, with everybody who does it.</summary>
internal abstract class BenchCase(CaseId id) : IDisposable
{
    private readonly List<Contender> _contenders = [];

    public CaseId Id { get; } = id;

    public IReadOnlyList<Contender> Contenders => _contenders;

    /// <summary>What the work costs at least.</summary>
    public abstract Work Work { get; }

    /// <summary>By contender, the largest relative difference of a result from the naive peer's, found by <see cref="Verify"/>.</summary>
    public IReadOnlyDictionary<string, double> Differences { get; protected set; } = new Dictionary<string, double>();

    /// <summary>
    /// Runs every contender on the same input and compares what comes out. Called before timing: a wrong result is not timed.
    /// </summary>
    /// <exception cref="WrongResultException">Somebody differs from the reference by more than the tolerance.</exception>
    public virtual void Verify() => Differences = Comparison.Check(this, Tolerance, RowsLeftOut);

    /// <summary>Largest relative difference (in the 2-norm) of an output that is accepted of operands of this type.</summary>
    protected virtual double Tolerance(string dtype, string output) => dtype == "float32" ? 5e-6 : 1e-2;

    /// <summary>Share of the rows of an embedding table, those that differ most, that are not compared.</summary>
    protected virtual double RowsLeftOut => 0;

    public virtual void Dispose()
    {
        foreach (Contender contender in _contenders)
        {
            contender.Dispose();
        }
    }

    protected void Add(Contender contender) => _contenders.Add(contender);
}

/// <summary>A contender computes something else.</summary>
internal sealed class WrongResultException(string message) : Exception(message);
