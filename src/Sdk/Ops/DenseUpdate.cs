using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>One optimiser step of dense parameters: SGD, Adagrad or Adam (see <see cref="OptimizerKind"/>).</summary>
public static unsafe class DenseUpdate
{
    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="optimizer">As in twintail.h.</param>
    /// <param name="parameters">[count], updated.</param>
    /// <param name="gradients">[count].</param>
    /// <param name="state1">[count] for Adagrad and Adam, otherwise null; updated.</param>
    /// <param name="state2">[count] for Adam, otherwise null; updated.</param>
    /// <param name="count">Number of parameters.</param>
    /// <exception cref="BadArgumentException">A constant or pointer is wrong.</exception>
    /// <exception cref="UnsupportedException">Row-wise Adagrad.</exception>
    public static void Invoke(
        Device device, in tt_optimizer optimizer, float* parameters, float* gradients, float* state1, float* state2, long count)
    {
        tt_optimizer call = optimizer;
        call.struct_size = sizeof(tt_optimizer);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_dense_update(lease.Pointer, &call, parameters, gradients, state1, state2, count));
    }

    /// <summary>The same on buffers, whose lengths are checked; all of <paramref name="parameters"/> is updated.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="optimizer">Rule and constants.</param>
    /// <param name="step">Counted from 1.</param>
    /// <param name="parameters">[count], updated.</param>
    /// <param name="gradients">[count].</param>
    /// <param name="state1">[count] for Adagrad and Adam; zero before the first step.</param>
    /// <param name="state2">[count] for Adam; zero before the first step.</param>
    /// <exception cref="BadArgumentException">A constant or length is wrong; names the argument.</exception>
    /// <exception cref="UnsupportedException">Row-wise Adagrad.</exception>
    public static void Apply(
        Device device,
        Optimizer optimizer,
        long step,
        DeviceBuffer<float> parameters,
        DeviceBuffer<float> gradients,
        DeviceBuffer<float>? state1 = null,
        DeviceBuffer<float>? state2 = null)
    {
        long count = parameters.Length;
        Invoke(
            device,
            optimizer.ToNative(step),
            Guard.Pointer(device, parameters, count, nameof(parameters)),
            Guard.Pointer(device, gradients, count, nameof(gradients)),
            Guard.PointerOrNull(device, state1, count, nameof(state1)),
            Guard.PointerOrNull(device, state2, count, nameof(state2)),
            count);
        GC.KeepAlive(parameters);
        GC.KeepAlive(gradients);
        GC.KeepAlive(state1);
        GC.KeepAlive(state2);
    }
}
