using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>What follows a linear layer.</summary>
public enum Activation
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>max(0, x).</summary>
    Relu = 1,
}

/// <summary>A linear layer: y [n, outputs] = activation(x [n, inputs] · weights [outputs, inputs]ᵀ + bias [outputs]).</summary>
public static unsafe class Linear
{
    /// <summary>Forward on raw device pointers, for loops that allocate nothing.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="n">Number of rows.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[n, inputs].</param>
    /// <param name="weights">[outputs, inputs].</param>
    /// <param name="bias">[outputs] or null.</param>
    /// <param name="activation">What follows.</param>
    /// <param name="y">[n, outputs], written.</param>
    /// <exception cref="BadArgumentException">A size or pointer is wrong.</exception>
    public static void Forward(
        Device device, long n, int inputs, int outputs, float* x, float* weights, float* bias, Activation activation, float* y)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_linear(lease.Pointer, n, inputs, outputs, x, weights, bias, (int)activation, y));
    }

    /// <summary>Backward on raw device pointers, for loops that allocate nothing. Outputs are overwritten; null ones are not computed.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="n">Number of rows.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[n, inputs], the forward's input.</param>
    /// <param name="weights">[outputs, inputs].</param>
    /// <param name="activation">The forward's.</param>
    /// <param name="y">[n, outputs], the forward's output.</param>
    /// <param name="gradY">[n, outputs].</param>
    /// <param name="gradX">[n, inputs] or null, written.</param>
    /// <param name="gradWeights">[outputs, inputs] or null, written.</param>
    /// <param name="gradBias">[outputs] or null, written.</param>
    /// <exception cref="BadArgumentException">A size or pointer is wrong.</exception>
    public static void Backward(
        Device device,
        long n,
        int inputs,
        int outputs,
        float* x,
        float* weights,
        Activation activation,
        float* y,
        float* gradY,
        float* gradX,
        float* gradWeights,
        float* gradBias)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_linear_backward(
            lease.Pointer, n, inputs, outputs, x, weights, (int)activation, y, gradY, gradX, gradWeights, gradBias));
    }

    /// <summary>Forward on buffers, whose lengths are checked.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="n">Number of rows.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[n, inputs].</param>
    /// <param name="weights">[outputs, inputs].</param>
    /// <param name="bias">[outputs] or null.</param>
    /// <param name="activation">What follows.</param>
    /// <param name="y">[n, outputs], written.</param>
    /// <exception cref="BadArgumentException">A size or length is wrong; names the argument.</exception>
    public static void Forward(
        Device device,
        long n,
        int inputs,
        int outputs,
        DeviceBuffer<float> x,
        DeviceBuffer<float> weights,
        DeviceBuffer<float>? bias,
        Activation activation,
        DeviceBuffer<float> y)
    {
        long weightCount = Guard.Elements(outputs, inputs, nameof(outputs), nameof(inputs));
        Forward(
            device,
            n,
            inputs,
            outputs,
            Guard.Pointer(device, x, Guard.Elements(n, inputs, nameof(n), nameof(inputs)), nameof(x)),
            Guard.Pointer(device, weights, weightCount, nameof(weights)),
            Guard.PointerOrNull(device, bias, outputs, nameof(bias)),
            activation,
            Guard.Pointer(device, y, Guard.Elements(n, outputs, nameof(n), nameof(outputs)), nameof(y)));
        GC.KeepAlive(x);
        GC.KeepAlive(weights);
        GC.KeepAlive(bias);
        GC.KeepAlive(y);
    }

    /// <summary>Backward on buffers, whose lengths are checked. Outputs are overwritten; null ones are not computed.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="n">Number of rows.</param>
    /// <param name="inputs">Columns of x.</param>
    /// <param name="outputs">Columns of y.</param>
    /// <param name="x">[n, inputs], the forward's input.</param>
    /// <param name="weights">[outputs, inputs].</param>
    /// <param name="activation">The forward's.</param>
    /// <param name="y">[n, outputs], the forward's output.</param>
    /// <param name="gradY">[n, outputs].</param>
    /// <param name="gradX">[n, inputs] or null, written.</param>
    /// <param name="gradWeights">[outputs, inputs] or null, written.</param>
    /// <param name="gradBias">[outputs] or null, written.</param>
    /// <exception cref="BadArgumentException">A size or length is wrong; names the argument.</exception>
    public static void Backward(
        Device device,
        long n,
        int inputs,
        int outputs,
        DeviceBuffer<float> x,
        DeviceBuffer<float> weights,
        Activation activation,
        DeviceBuffer<float> y,
        DeviceBuffer<float> gradY,
        DeviceBuffer<float>? gradX,
        DeviceBuffer<float>? gradWeights,
        DeviceBuffer<float>? gradBias)
    {
        long inputCount = Guard.Elements(n, inputs, nameof(n), nameof(inputs));
        long outputCount = Guard.Elements(n, outputs, nameof(n), nameof(outputs));
        long weightCount = Guard.Elements(outputs, inputs, nameof(outputs), nameof(inputs));
        Backward(
            device,
            n,
            inputs,
            outputs,
            Guard.Pointer(device, x, inputCount, nameof(x)),
            Guard.Pointer(device, weights, weightCount, nameof(weights)),
            activation,
            Guard.Pointer(device, y, outputCount, nameof(y)),
            Guard.Pointer(device, gradY, outputCount, nameof(gradY)),
            Guard.PointerOrNull(device, gradX, inputCount, nameof(gradX)),
            Guard.PointerOrNull(device, gradWeights, weightCount, nameof(gradWeights)),
            Guard.PointerOrNull(device, gradBias, outputs, nameof(gradBias)));
        GC.KeepAlive((x, weights, y, gradY, gradX, gradWeights, gradBias));
    }
}
