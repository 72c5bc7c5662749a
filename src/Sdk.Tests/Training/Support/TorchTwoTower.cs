using TorchSharp;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Tests.Ops;
using static TorchSharp.torch;
using TorchFunctional = TorchSharp.torch.nn.functional;

namespace Twintail.Tests.Training;

/// <summary>The same two towers in TorchSharp, in float64, with automatic differentiation.</summary>
internal sealed class TorchTwoTower
{
    private readonly Network _network;
    private readonly Tensor[] _embeddings;
    private readonly Dictionary<string, Tensor> _layers = [];

    public TorchTwoTower(Network network)
    {
        _network = network;
        _embeddings = Array.ConvertAll(network.Embeddings, x => Torch.Leaf(x.Weights.ToArray(), ScalarType.Float64, x.Rows, x.Dim));
        float[] parameters = network.Parameters.ToArray();
        long at = 0;
        foreach (Tower tower in new[] { network.ItemTower, network.UserTower })
        {
            for (int layer = 0; layer < tower.Layers; layer++)
            {
                int inputs = tower.Width(layer), outputs = tower.Width(layer + 1);
                _layers[$"{tower.Name}.{layer}.weight"] = Leaf(parameters, ref at, outputs, inputs);
                _layers[$"{tower.Name}.{layer}.bias"] = Leaf(parameters, ref at, outputs);
            }
        }

        LogInverseTemperature = tensor(Math.Log(network.InverseTemperature), dtype: ScalarType.Float64).requires_grad_(true);
    }

    public Tensor LogInverseTemperature { get; }

    /// <summary>Gradient of every embedding table.</summary>
    public double[][] EmbeddingGradients => Array.ConvertAll(_embeddings, Torch.Gradient);

    /// <summary>Gradient of all layers, in the order of the network's parameters.</summary>
    public double[] LayerGradients => [.. _layers.Values.SelectMany(Torch.Gradient)];

    /// <summary>Final vectors [n, d] of a view.</summary>
    /// <param name="tower">The tower.</param>
    /// <param name="table">Its features.</param>
    /// <param name="view">Rows and augmentation; which values are kept is asked of the native side, which has its own tests.</param>
    public Tensor Encode(Tower tower, DeviceFeatureTable table, GatherView view)
    {
        var parts = new List<Tensor>();
        for (int f = 0; f < table.Features.Count; f++)
        {
            Tensor embedding = _embeddings[table.Features[f].Embedding];
            AugmentedValues kept = EmbeddingGather.Preview(_network.Device, table, view, f);
            var means = new double[view.N * embedding.shape[0]];
            for (int i = 0; i < view.N; i++)
            {
                for (long at = kept.Offsets[i]; at < kept.Offsets[i + 1]; at++)
                {
                    means[(i * embedding.shape[0]) + kept.Values[at]] += 1.0 / (kept.Offsets[i + 1] - kept.Offsets[i]);
                }
            }

            parts.Add(tensor(means).reshape(view.N, embedding.shape[0]).matmul(embedding));
        }

        Tensor x = cat(parts.ToArray(), 1);
        for (int layer = 0; layer < tower.Layers; layer++)
        {
            x = x.matmul(_layers[$"{tower.Name}.{layer}.weight"].t()) + _layers[$"{tower.Name}.{layer}.bias"];
            x = layer < tower.Layers - 1 ? TorchFunctional.relu(x) : x;
        }

        return x;
    }

    /// <summary>Mean softmax loss over cosines; column i is row i's positive, other columns of the same item are left out.</summary>
    public static Tensor Loss(Tensor queries, Tensor candidates, Tensor inverseTemperature, double[]? logQ, int[] ids)
    {
        long n = queries.shape[0], m = candidates.shape[0];
        Tensor scores = Torch.Unit(queries).matmul(Torch.Unit(candidates).t()) * inverseTemperature;
        scores = logQ == null ? scores : scores - tensor(logQ);
        var hits = new bool[n * m];
        for (int i = 0; i < hits.Length; i++)
        {
            long row = i / m, column = i % m;
            hits[i] = column != row && ids[column] == ids[row];
        }

        scores = scores.masked_fill(tensor(hits).reshape(n, m), double.NegativeInfinity);
        return (scores.logsumexp(1) - scores.diagonal()).mean();
    }

    private static Tensor Leaf(float[] values, ref long at, params long[] shape)
    {
        long count = shape.Aggregate(1L, (a, b) => a * b);
        Tensor leaf = Torch.Leaf(values[(int)at..(int)(at + count)], ScalarType.Float64, shape);
        at += count;
        return leaf;
    }
}
