using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>Between host arrays and TorchSharp's tensors.</summary>
internal static class Torch
{
    /// <summary>A copy of the values, outside of any scope.</summary>
    public static Tensor From(float[] values, params long[] shape) => tensor(values, shape).DetachFromDisposeScope();

    /// <summary>A copy of the values that gradients are wanted of.</summary>
    public static Tensor Parameter(float[] values, params long[] shape) =>
        tensor(values, shape, requires_grad: true).DetachFromDisposeScope();

    /// <summary>The memory of a dense tensor of floats.</summary>
    public static Output View(string name, Tensor tensor)
    {
        if (tensor.dtype != ScalarType.Float32 || !tensor.is_contiguous())
        {
            throw new InvalidOperationException($"{name}: expected dense floats, got {tensor}");
        }

        return new Output(name, tensor.storage<float>().data_ptr() + (nint)(tensor.storage_offset() * sizeof(float)), tensor.numel());
    }
}
