using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>Embedding tables and their row-wise Adagrad state as tensors.</summary>
internal sealed class TorchTables : IDisposable
{
    /// <summary>Tables with the given first values: table f is [rows, dim] at <paramref name="values"/>[f].</summary>
    public unsafe TorchTables(IReadOnlyList<(IntPtr Values, long Rows, int Dim)> tables, bool withState)
    {
        Weights = new Tensor[tables.Count];
        States = new Tensor[tables.Count];
        for (int f = 0; f < tables.Count; f++)
        {
            var (values, rows, dim) = tables[f];
            Weights[f] = empty(rows, dim).DetachFromDisposeScope();
            long bytes = rows * dim * sizeof(float);
            Buffer.MemoryCopy((void*)values, (void*)Torch.View("weights", Weights[f]).Data, bytes, bytes);
            States[f] = zeros(withState ? rows : 0).DetachFromDisposeScope();
        }
    }

    /// <summary>[rows, dim] each.</summary>
    public Tensor[] Weights { get; }

    /// <summary>[rows] each.</summary>
    public Tensor[] States { get; }

    public void Dispose()
    {
        foreach (Tensor tensor in Weights.Concat(States))
        {
            tensor.Dispose();
        }
    }
}
