using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>Keeps parameters within bounds after an update (projected gradient), as CLIP does with its temperature.</summary>
public static unsafe class Clip
{
    /// <summary>The native call on a raw device pointer: values [count] below low become low, those above high high; NaN stays.</summary>
    /// <exception cref="BadArgumentException">low is above high or a bound is NaN.</exception>
    public static void Invoke(Device device, float low, float high, float* values, long count)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_clip(lease.Pointer, low, high, values, count));
    }

    /// <summary>The same on a buffer.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="low">Values below it become it; may be −∞.</param>
    /// <param name="high">Values above it become it; may be ∞.</param>
    /// <param name="values">All of it.</param>
    /// <exception cref="BadArgumentException">low is above high or a bound is NaN.</exception>
    public static void Apply(Device device, float low, float high, DeviceBuffer<float> values)
    {
        Invoke(device, low, high, Guard.Pointer(device, values, 0, nameof(values)), values.Length);
        GC.KeepAlive(values);
    }
}
