using TorchSharp;
using TorchSharp.Modules;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// Two augmented views, backward and update as well as we can write it with stock ops: the host leaves out what is dropped, so
/// that bags are short; both views are one call; no autograd, but the gradient of a row as a bag itself,
/// over the rows of the upstream gradient, once the host has sorted the lookups by row; rows merged, so updated once.
/// </summary>
internal sealed class BagStepBest : Contender
{
    private readonly BagData _data;
    private readonly TorchTables _tables;
    private readonly Augmenter _augmenter;
    private readonly Tensor _gradients;
    private readonly Tensor[] _bagGradients;
    private readonly EmbeddingBag[] _tableBags;
    private readonly EmbeddingBag[] _gradientBags;
    private readonly KeptValues[][] _kept;
    private readonly MergedRows[] _merged;
    private readonly ParallelOptions _threads = new() { MaxDegreeOfParallelism = get_num_threads() };
    private readonly RowwiseAdagrad _optimizer = new(RowwiseAdagrad.LearningRate, RowwiseAdagrad.Epsilon);
    private Tensor? _vectors;

    public BagStepBest(BagData data, TorchTables tables, Augmenter augmenter, float[][] gradients)
        : base("torchsharp-best", Role.Best)
    {
        _data = data;
        _tables = tables;
        _augmenter = augmenter;
        _gradients = Torch.From([.. gradients[0], .. gradients[1]], 2 * data.Batch.Length, data.Width);
        _bagGradients = [.. data.Features.Select(f => empty(2 * data.Batch.Length, f.Dim).DetachFromDisposeScope())];
        _tableBags = [.. tables.Weights.Select(Bag)];
        _gradientBags = [.. _bagGradients.Select(Bag)];
        _kept = [.. data.Features.Select(_ => new[] { new KeptValues(data.Batch.Length), new KeptValues(data.Batch.Length) })];
        _merged = [.. data.Features.Select(_ => new MergedRows())];
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        _augmenter.Draw();
        Parallel.For(0, _kept.Length, _threads, Prepare);
        _vectors?.Dispose();
        _vectors = cat([.. _data.Features.Select((_, f) => Gather(f))], 1).DetachFromDisposeScope();
        int column = 0;
        for (int f = 0; f < _merged.Length; f++)
        {
            int dim = _data.Features[f].Dim;
            Update(f, _gradients.narrow(1, column, dim));
            column += dim;
        }
    }

    public override IEnumerable<Output> Outputs()
    {
        long n = _data.Batch.Length;
        return BagStepOutputs.Of(_tables, [_vectors!.narrow(0, 0, n), _vectors.narrow(0, n, n)]);
    }

    public override void Dispose()
    {
        foreach (IDisposable owned in _bagGradients.Concat<IDisposable>(_tableBags).Concat(_gradientBags))
        {
            owned.Dispose();
        }

        _gradients.Dispose();
        _vectors?.Dispose();
    }

    private void Prepare(int feature)
    {
        _augmenter.Keep(1, feature, _kept[feature][0]);
        _augmenter.Keep(2, feature, _kept[feature][1]);
        _merged[feature].Build(_data.Features[feature].Vocabulary, _kept[feature]);
    }

    private Tensor Gather(int feature)
    {
        int n = _data.Batch.Length;
        KeptValues first = _kept[feature][0];
        KeptValues second = _kept[feature][1];
        var indices = new int[first.Count + second.Count];
        first.Values.CopyTo(indices);
        second.Values.CopyTo(indices.AsSpan(first.Count));
        var offsets = new int[2 * n];
        first.Offsets.AsSpan(0, n).CopyTo(offsets);
        for (int i = 0; i < n; i++)
        {
            offsets[n + i] = first.Count + second.Offsets[i];
        }

        return _tableBags[feature].call(frombuffer(indices, ScalarType.Int32), frombuffer(offsets, ScalarType.Int32));
    }

    private void Update(int feature, Tensor gradients)
    {
        using var scope = NewDisposeScope();
        MergedRows merged = _merged[feature];
        var rows = frombuffer(merged.Rows, ScalarType.Int64, merged.RowCount);
        _bagGradients[feature].copy_(gradients);
        var sums = _gradientBags[feature].call(
            frombuffer(merged.Bags, ScalarType.Int32, merged.EntryCount),
            frombuffer(merged.Starts, ScalarType.Int32, merged.RowCount));
        _optimizer.StepMerged(_tables.Weights[feature], _tables.States[feature], rows, sums);
    }

    /// <summary>Made once: TorchSharp's modules fill a table of their own with random numbers before they take ours.</summary>
    private static EmbeddingBag Bag(Tensor weights) =>
        nn.EmbeddingBag_from_pretrained(weights, freeze: true, mode: EmbeddingBagMode.Sum);
}
