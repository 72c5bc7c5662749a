using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>One optimiser step of the touched rows of an embedding table (see <see cref="OptimizerKind"/>).</summary>
public static unsafe class SparseUpdate
{
    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="optimizer">As in twintail.h.</param>
    /// <param name="embedding">The table.</param>
    /// <param name="ids">[count], in [0, rows); duplicates are summed first, in the order given.</param>
    /// <param name="values">[count, dim].</param>
    /// <param name="count">Number of rows of the gradient.</param>
    /// <exception cref="BadArgumentException">A constant, id or pointer is wrong.</exception>
    public static void Invoke(
        Device device, in tt_optimizer optimizer, in tt_embedding embedding, int* ids, float* values, long count)
    {
        tt_optimizer call = optimizer;
        call.struct_size = sizeof(tt_optimizer);
        tt_embedding table = embedding;
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_sparse_update(lease.Pointer, &call, &table, ids, values, count));
    }

    /// <summary>The same on buffers, whose lengths are checked.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="optimizer">Rule and constants.</param>
    /// <param name="step">Counted from 1.</param>
    /// <param name="embedding">The table with the optimiser's state.</param>
    /// <param name="ids">[count], in [0, rows); duplicates are summed first, in the order given.</param>
    /// <param name="values">[count, dim].</param>
    /// <param name="count">Number of rows of the gradient, or -1: all of <paramref name="ids"/>.</param>
    /// <exception cref="BadArgumentException">A constant, id or length is wrong; names the argument.</exception>
    public static void Apply(
        Device device,
        Optimizer optimizer,
        long step,
        EmbeddingTable embedding,
        DeviceBuffer<int> ids,
        DeviceBuffer<float> values,
        long count = -1)
    {
        count = count < 0 ? ids.Length : count;
        Invoke(
            device,
            optimizer.ToNative(step),
            embedding.ToNative(),
            Guard.Pointer(device, ids, count, nameof(ids)),
            Guard.Pointer(device, values, count * embedding.Dim, nameof(values)),
            count);
        GC.KeepAlive((embedding, ids, values));
    }
}
