namespace Twintail.Bench.Running;

/// <summary>What a contender stands for in the summary.</summary>
internal enum Role
{
    /// <summary>Twintail.</summary>
    Ours,

    /// <summary>What a TorchSharp user writes first.</summary>
    Naive,

    /// <summary>The best that we could write with TorchSharp's stock ops.</summary>
    Best,
}

/// <summary>One way of doing a case's work, with its own copy of the input.</summary>
internal abstract class Contender(string name, Role role) : IDisposable
{
    /// <summary>For example "torchsharp-naive".</summary>
    public string Name { get; } = name;

    /// <summary>What it stands for.</summary>
    public Role Role { get; } = role;

    /// <summary>Type of the operands.</summary>
    public virtual string Dtype => "float32";

    /// <summary>Instruction set in use, or null where it is not ours to choose.</summary>
    public virtual string? Isa => null;

    /// <summary>The work once. Everything that it allocates for itself is allocated in here, so that it can be seen.</summary>
    public abstract void Run();

    /// <summary>Results of the last <see cref="Run"/>; valid until the next one.</summary>
    public abstract IEnumerable<Output> Outputs();

    public abstract void Dispose();
}

/// <summary>A result in memory.</summary>
/// <param name="Name">Same in all contenders of a case.</param>
/// <param name="Data">First of the floats.</param>
/// <param name="Length">Number of floats.</param>
/// <param name="Width">Of a row, where rows are results of their own: those of an embedding table.</param>
internal readonly unsafe record struct Output(string Name, IntPtr Data, long Length, int Width = 1)
{
    public float this[long index] => ((float*)Data)[index];
}
