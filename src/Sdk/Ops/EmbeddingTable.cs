using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>An embedding table in a device's memory: weights [rows, dim] and, once prepared for one, an optimiser's state.</summary>
public sealed unsafe class EmbeddingTable : IDisposable
{
    /// <summary>Takes zeroed memory for the weights.</summary>
    /// <param name="device">Where.</param>
    /// <param name="rows">Number of values, the default (row 0) included.</param>
    /// <param name="dim">Dimension of the vectors.</param>
    /// <param name="optimizer">Whose state to hold, or null: none (inference).</param>
    /// <exception cref="DeviceOutOfMemoryException">The device has not enough memory.</exception>
    public EmbeddingTable(Device device, long rows, int dim, Optimizer? optimizer = null)
    {
        long count = Guard.Elements(rows, dim, nameof(rows), nameof(dim));
        Device = device;
        Rows = rows;
        Dim = dim;
        try
        {
            Weights = device.Allocate<float>(count);
            long state1 = optimizer?.State1Length(rows, dim) ?? 0;
            long state2 = optimizer?.State2Length(rows, dim) ?? 0;
            State1 = state1 > 0 ? device.Allocate<float>(state1) : null;
            State2 = state2 > 0 ? device.Allocate<float>(state2) : null;
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Where the table is.</summary>
    public Device Device { get; }

    /// <summary>Number of vectors.</summary>
    public long Rows { get; }

    /// <summary>Dimension of the vectors.</summary>
    public int Dim { get; }

    /// <summary>[rows, dim].</summary>
    public DeviceBuffer<float> Weights { get; }

    /// <summary>First state of the optimiser, or null.</summary>
    public DeviceBuffer<float>? State1 { get; }

    /// <summary>Second state of the optimiser, or null.</summary>
    public DeviceBuffer<float>? State2 { get; }

    /// <summary>The native form; keep this object reachable until native code is done with it.</summary>
    public tt_embedding ToNative() => new()
    {
        weights = Weights.Pointer,
        state1 = State1 == null ? null : State1.Pointer,
        state2 = State2 == null ? null : State2.Pointer,
        rows = Rows,
        dim = Dim,
        dtype = (int)tt_dtype.TT_FLOAT32,
    };

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        Weights?.Dispose();
        State1?.Dispose();
        State2?.Dispose();
    }
}
