using TorchSharp;
using TorchSharp.Modules;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// Two augmented views, backward and update as a TorchSharp user does it: masks drawn on the host, handed to EmbeddingBag as
/// weights (each bag starts with the default, weighted 0 unless nothing else is kept), autograd's sparse gradient, own Adagrad.
/// </summary>
internal sealed class BagStepNaive : Contender
{
    private readonly BagData _data;
    private readonly TorchTables _tables;
    private readonly Augmenter _augmenter;
    private readonly Tensor[] _gradients;
    private readonly EmbeddingBag[] _bags;
    private readonly float[][] _weights;
    private readonly RowwiseAdagrad _optimizer = new(RowwiseAdagrad.LearningRate, RowwiseAdagrad.Epsilon);
    private readonly Tensor?[] _vectors = new Tensor?[2];

    public BagStepNaive(BagData data, TorchTables tables, Augmenter augmenter, float[][] gradients)
        : base("torchsharp-naive", Role.Naive)
    {
        _data = data;
        _tables = tables;
        _augmenter = augmenter;
        _gradients = [.. gradients.Select(g => Torch.From(g, data.Batch.Length, data.Width))];
        _weights = [.. data.Features.Select(feature => new float[data.EntriesWithDefaults(feature)])];
        _bags = [.. tables.Weights.Select(weights =>
            nn.EmbeddingBag_from_pretrained(weights, freeze: false, mode: EmbeddingBagMode.Sum, sparse: true))];
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        _augmenter.Draw();
        var bags = _data.Features.Select(IndicesWithDefaults).ToArray();
        for (int view = 1; view <= 2; view++)
        {
            _vectors[view - 1]?.Dispose();
            _vectors[view - 1] = cat([.. bags.Select((bag, f) => Gather(view, f, bag))], 1).DetachFromDisposeScope();
        }

        autograd.backward([_vectors[0]!, _vectors[1]!], _gradients);
        for (int f = 0; f < _bags.Length; f++)
        {
            Tensor gradient = _bags[f].weight!.grad!;
            _optimizer.StepNaively(_tables.Weights[f], _tables.States[f], gradient);
            _bags[f].weight!.grad = null;
            gradient.Dispose();
        }
    }

    public override IEnumerable<Output> Outputs() => BagStepOutputs.Of(_tables, _vectors.Select(v => v!.detach()));

    public override void Dispose()
    {
        foreach (Tensor? tensor in _gradients.Concat(_vectors))
        {
            tensor?.Dispose();
        }
    }

    private (Tensor Indices, Tensor Offsets) IndicesWithDefaults(BagFeature feature, int number)
    {
        var indices = new long[_weights[number].Length];
        var offsets = new long[_data.Batch.Length];
        int next = 0;
        for (int bag = 0; bag < offsets.Length; bag++)
        {
            offsets[bag] = next++;
            int row = _data.Batch[bag];
            for (long i = feature.Offsets[row]; i < feature.Offsets[row + 1]; i++)
            {
                indices[next++] = feature.Values[i];
            }
        }

        return (tensor(indices), tensor(offsets));
    }

    private Tensor Gather(int view, int feature, (Tensor Indices, Tensor Offsets) bag)
    {
        _augmenter.Weigh(view, feature, _weights[feature]);
        return _bags[feature].call(bag.Indices, bag.Offsets, tensor(_weights[feature]));
    }
}

/// <summary>What a step of the gather leaves behind.</summary>
internal static class BagStepOutputs
{
    public static IEnumerable<Output> Of(TorchTables tables, IEnumerable<Tensor> vectors) =>
    [
        .. vectors.Select((v, i) => Torch.View($"view{i + 1}", v)),
        .. tables.Weights.Select((w, f) => Torch.View($"weights{f}", w)),
        .. tables.States.Select((s, f) => Torch.View($"state{f}", s)),
    ];
}
