using TorchSharp;
using TorchSharp.Modules;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using Twintail.Training;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// A training step as well as we can write it with TorchSharp's stock ops: autograd only through the towers; both losses by
/// <see cref="HandSoftmax"/>; the gradient of an embedding row as a bag over the rows of the upstream gradient, the lookups
/// sorted by row on the host, so that each row is updated once.
/// </summary>
internal sealed class StepBest : Contender
{
    private readonly StepModel _model;
    private readonly StepLookups _lookups;
    private readonly TrainingOptions _options;
    private readonly Tensor _minusLogQ;
    private readonly BagSide _users;
    private readonly BagSide _items;
    private readonly HandSoftmax _mainLoss;
    private readonly HandSoftmax _selfLoss;
    private readonly AccidentalHits _mainHits;
    private readonly AccidentalHits _selfHits;
    private readonly optim.Optimizer _dense;
    private readonly RowwiseAdagrad _sparse;

    public StepBest(StepModel model, StepLookups lookups, TrainingOptions options, float[] logQ)
        : base("torchsharp-best", Role.Best)
    {
        _model = model;
        _lookups = lookups;
        _options = options;
        _minusLogQ = Torch.From([.. logQ.Select(value => -value)], logQ.Length);
        _users = new BagSide(model.Tables, model.UserFeatures, lookups.N);
        _items = new BagSide(model.Tables, model.ItemFeatures, lookups.N + (2 * lookups.M));
        _mainLoss = new HandSoftmax(lookups.N, options.Dimension, options.Temperature, backward: true);
        _selfLoss = new HandSoftmax(lookups.M, options.Dimension, options.SelfTemperature, backward: true);
        _mainHits = new AccidentalHits(lookups.N);
        _selfHits = new AccidentalHits(lookups.M);
        _dense = optim.Adam(model.Parameters, options.DenseLearningRate);
        _sparse = new RowwiseAdagrad(options.SparseLearningRate, StepOptions.SparseEpsilon);
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        int n = _lookups.N;
        int m = _lookups.M;
        Prepare();
        var userVectors = _users.Gather(_lookups.Users).requires_grad_();
        var itemVectors = _items.Gather(_lookups.Items).requires_grad_();
        var users = _model.UserTower.Forward(userVectors);
        var items = _model.ItemTower.Forward(itemVectors);
        var u = users.detach();
        var v = items.detach();
        _mainLoss.Run(u, v.narrow(0, 0, n), _minusLogQ.index_select(0, tensor(_lookups.Clicked, ScalarType.Int64)), _mainHits);
        _selfLoss.Run(v.narrow(0, n, m), v.narrow(0, n + m, m), null, _selfHits, _options.Alpha);
        var itemGradients = cat([_mainLoss.GradCandidates, _selfLoss.GradQueries, _selfLoss.GradCandidates], 0);
        _dense.zero_grad();
        autograd.backward([users, items], [_mainLoss.GradQueries, itemGradients]);
        _dense.step();
        _users.Update(userVectors.grad!, _sparse);
        _items.Update(itemVectors.grad!, _sparse);
    }

    public override IEnumerable<Output> Outputs() => _model.Outputs();

    public override void Dispose()
    {
        foreach (IDisposable owned in new IDisposable[] { _users, _items, _mainLoss, _selfLoss, _dense, _minusLogQ, _model })
        {
            owned.Dispose();
        }
    }

    private void Prepare()
    {
        _lookups.Prepare();
        _mainHits.Find(_lookups.Clicked);
        _selfHits.Find(_lookups.SelfItems);
        int userFeatures = _lookups.Users.Length;
        var threads = new ParallelOptions { MaxDegreeOfParallelism = _options.Threads };
        Parallel.For(0, userFeatures + _lookups.Items.Length, threads, f =>
        {
            if (f < userFeatures)
            {
                _users.Merge(f, _lookups.Users[f]);
            }
            else
            {
                _items.Merge(f - userFeatures, _lookups.Items[f - userFeatures]);
            }
        });
    }
}

/// <summary>Mean-pooled bags of all features of a tower, forward and backward, without autograd.</summary>
internal sealed class BagSide : IDisposable
{
    private readonly TorchTables _tables;
    private readonly IReadOnlyList<FeatureBinding> _features;
    private readonly int _bagCount;
    private readonly MergedRows[] _merged;
    private readonly EmbeddingBag[] _forward;
    private readonly EmbeddingBag[] _backward;
    private readonly Tensor[] _scaled;
    private readonly Tensor[] _inverseCounts;

    public BagSide(TorchTables tables, IReadOnlyList<FeatureBinding> features, int bags)
    {
        _tables = tables;
        _features = features;
        _bagCount = bags;
        _merged = [.. features.Select(_ => new MergedRows())];
        _scaled = [.. features.Select(f => empty(bags, tables.Weights[f.Embedding].shape[1]).DetachFromDisposeScope())];
        _inverseCounts = new Tensor[features.Count];
        _forward = [.. features.Select(f => Bag(tables.Weights[f.Embedding], EmbeddingBagMode.Mean))];
        _backward = [.. _scaled.Select(gradients => Bag(gradients, EmbeddingBagMode.Sum))];
    }

    /// <summary>Sorts a feature's lookups by row; features may be sorted by several threads at once.</summary>
    public void Merge(int feature, KeptValues kept) =>
        _merged[feature].Build(_features[feature].Column.Vocabulary.Length, kept);

    /// <summary>[bags, sum of dims].</summary>
    public Tensor Gather(KeptValues[] kept)
    {
        using var mode = no_grad();
        return cat([.. _features.Select((_, f) => Gather(f, kept[f]))], 1);
    }

    /// <summary>From the gradient of what <see cref="Gather(KeptValues[])"/> gave.</summary>
    public void Update(Tensor gradients, RowwiseAdagrad optimizer)
    {
        using var mode = no_grad();
        long column = 0;
        for (int f = 0; f < _features.Count; f++)
        {
            using var scope = NewDisposeScope();
            MergedRows merged = _merged[f];
            _scaled[f].copy_(gradients.narrow(1, column, _scaled[f].shape[1])).mul_(_inverseCounts[f]);
            column += _scaled[f].shape[1];
            var sums = _backward[f].call(
                frombuffer(merged.Bags, ScalarType.Int32, merged.EntryCount), frombuffer(merged.Starts, ScalarType.Int32, merged.RowCount));
            var rows = frombuffer(merged.Rows, ScalarType.Int64, merged.RowCount);
            int embedding = _features[f].Embedding;
            optimizer.StepMerged(_tables.Weights[embedding], _tables.States[embedding], rows, sums);
        }
    }

    public void Dispose()
    {
        foreach (IDisposable owned in _scaled.Concat<IDisposable>(_forward).Concat(_backward))
        {
            owned.Dispose();
        }
    }

    /// <summary>Made once: TorchSharp's modules fill a table of their own with random numbers before they take ours.</summary>
    private static EmbeddingBag Bag(Tensor weights, EmbeddingBagMode mode) =>
        nn.EmbeddingBag_from_pretrained(weights, freeze: true, mode: mode);

    private Tensor Gather(int feature, KeptValues kept)
    {
        var offsets = tensor(kept.Offsets, ScalarType.Int32);
        var counts = offsets.narrow(0, 1, _bagCount) - offsets.narrow(0, 0, _bagCount);
        _inverseCounts[feature] = counts.to(ScalarType.Float32).reciprocal_().unsqueeze_(1);
        return _forward[feature].call(tensor(kept.Values.ToArray(), ScalarType.Int32), offsets.narrow(0, 0, _bagCount));
    }
}
