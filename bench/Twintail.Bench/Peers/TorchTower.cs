using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace Twintail.Bench.Peers;

/// <summary>Linear layers with ReLU between them, as tensors that autograd follows.</summary>
internal sealed class TorchTower : IDisposable
{
    private readonly (Parameter Weight, Parameter Bias)[] _layers;

    private TorchTower((Parameter Weight, Parameter Bias)[] layers) => _layers = layers;

    /// <summary>Weights [out, in] and bias [out] of each layer in turn.</summary>
    public IEnumerable<Parameter> Parameters => _layers.SelectMany(layer => new[] { layer.Weight, layer.Bias });

    /// <summary>Copies layers that lie one after the other from <paramref name="start"/> on, each its weights, then its bias.</summary>
    public static unsafe TorchTower Copy(int[] widths, IntPtr start)
    {
        var at = (float*)start;
        Parameter Take(params long[] shape)
        {
            long count = shape.Aggregate(1L, (product, size) => product * size);
            var parameter = new Parameter(Torch.From(new Span<float>(at, (int)count).ToArray(), shape));
            at += count;
            return parameter;
        }

        return new TorchTower([.. widths.Skip(1).Select((width, i) => (Take(width, widths[i]), Take(width)))]);
    }

    public Tensor Forward(Tensor x)
    {
        for (int layer = 0; layer < _layers.Length; layer++)
        {
            x = F.linear(x, _layers[layer].Weight, _layers[layer].Bias);
            x = layer + 1 < _layers.Length ? F.relu(x) : x;
        }

        return x;
    }

    public void Dispose()
    {
        foreach (Tensor tensor in Parameters)
        {
            tensor.grad?.Dispose();
            tensor.Dispose();
        }
    }
}
