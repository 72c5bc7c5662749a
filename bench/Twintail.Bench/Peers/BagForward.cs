using TorchSharp;
using TorchSharp.Modules;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// EmbeddingBag in offset form, one call for each feature, the index tensors made beforehand. Naive: 64-bit indices, then the
/// concatenation that the tower needs. Best: 32-bit indices, and the concatenation is not even timed.
/// </summary>
internal sealed class BagForward : Contender
{
    private readonly Tensor[] _indices;
    private readonly Tensor[] _offsets;
    private readonly EmbeddingBag[] _bags;
    private readonly bool _isNaive;
    private readonly Tensor[] _pooled;
    private Tensor? _vectors;

    public BagForward(BagData data, TorchTables tables, Role role)
        : base(role == Role.Naive ? "torchsharp-naive" : "torchsharp-best", role)
    {
        _isNaive = role == Role.Naive;
        _indices = new Tensor[data.Features.Length];
        _offsets = new Tensor[data.Features.Length];
        _bags = new EmbeddingBag[data.Features.Length];
        _pooled = new Tensor[data.Features.Length];
        ScalarType type = _isNaive ? ScalarType.Int64 : ScalarType.Int32;
        for (int f = 0; f < _bags.Length; f++)
        {
            var (indices, offsets) = Flatten(data, data.Features[f]);
            _indices[f] = tensor(indices, type).DetachFromDisposeScope();
            _offsets[f] = tensor(offsets, type).DetachFromDisposeScope();
            _bags[f] = nn.EmbeddingBag_from_pretrained(tables.Weights[f], freeze: true, mode: EmbeddingBagMode.Sum);
        }
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        ReleaseResults();
        for (int f = 0; f < _bags.Length; f++)
        {
            _pooled[f] = _bags[f].call(_indices[f], _offsets[f]);
            _ = _isNaive ? _pooled[f] : _pooled[f].DetachFromDisposeScope();
        }

        if (_isNaive)
        {
            _vectors = cat(_pooled, 1).DetachFromDisposeScope();
        }
    }

    public override IEnumerable<Output> Outputs()
    {
        _vectors ??= cat(_pooled, 1).DetachFromDisposeScope();
        return [Torch.View("vectors", _vectors)];
    }

    public override void Dispose()
    {
        ReleaseResults();
        foreach (IDisposable owned in _indices.Concat<IDisposable>(_offsets))
        {
            owned.Dispose();
        }
    }

    private static (int[] Indices, int[] Offsets) Flatten(BagData data, BagFeature feature)
    {
        var indices = new List<int>();
        var offsets = new int[data.Batch.Length];
        for (int i = 0; i < offsets.Length; i++)
        {
            offsets[i] = indices.Count;
            int row = data.Batch[i];
            indices.AddRange(feature.Values.AsSpan((int)feature.Offsets[row], (int)(feature.Offsets[row + 1] - feature.Offsets[row])));
        }

        return ([.. indices], offsets);
    }

    private void ReleaseResults()
    {
        _vectors?.Dispose();
        _vectors = null;
        foreach (Tensor? pooled in _pooled)
        {
            pooled?.Dispose();
        }
    }
}
