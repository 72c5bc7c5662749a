using TorchSharp;
using TorchSharp.Modules;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using Twintail.Training;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace Twintail.Bench.Peers;

/// <summary>
/// A training step in plain TorchSharp: EmbeddingBag (mean, sparse) on lists made by the host, towers, cosines by one
/// matrix product, accidental hits masked, cross entropy twice, autograd, Adam for the towers, own row-wise Adagrad.
/// </summary>
internal sealed class StepNaive : Contender
{
    private readonly StepModel _model;
    private readonly StepLookups _lookups;
    private readonly TrainingOptions _options;
    private readonly Tensor _logQ;
    private readonly EmbeddingBag[] _bags;
    private readonly optim.Optimizer _dense;
    private readonly RowwiseAdagrad _sparse;

    public StepNaive(StepModel model, StepLookups lookups, TrainingOptions options, float[] logQ)
        : base("torchsharp-naive", Role.Naive)
    {
        _model = model;
        _lookups = lookups;
        _options = options;
        _logQ = Torch.From(logQ, logQ.Length);
        _bags = [.. model.Tables.Weights.Select(w =>
            nn.EmbeddingBag_from_pretrained(w, freeze: false, mode: EmbeddingBagMode.Mean, sparse: true))];
        _dense = optim.Adam(model.Parameters, options.DenseLearningRate);
        _sparse = new RowwiseAdagrad(options.SparseLearningRate, StepOptions.SparseEpsilon);
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        _lookups.Prepare();
        int n = _lookups.N;
        int m = _lookups.M;
        var users = _model.UserTower.Forward(Gather(_model.UserFeatures, _lookups.Users));
        var items = _model.ItemTower.Forward(Gather(_model.ItemFeatures, _lookups.Items));
        var clicked = tensor(_lookups.Clicked, ScalarType.Int64);
        var main = Loss(users, items.narrow(0, 0, n), clicked, _options.Temperature, _logQ.index_select(0, clicked));
        var self = Loss(
            items.narrow(0, n, m), items.narrow(0, n + m, m), tensor(_lookups.SelfItems, ScalarType.Int64), _options.SelfTemperature, null);
        _dense.zero_grad();
        (main + (_options.Alpha * self)).backward();
        _dense.step();
        for (int e = 0; e < _bags.Length; e++)
        {
            Tensor gradient = _bags[e].weight!.grad!;
            _sparse.StepNaively(_model.Tables.Weights[e], _model.Tables.States[e], gradient);
            _bags[e].weight!.grad = null;
            gradient.Dispose();
        }
    }

    public override IEnumerable<Output> Outputs() => _model.Outputs();

    public override void Dispose()
    {
        _dense.Dispose();
        _logQ.Dispose();
        _model.Dispose();
    }

    /// <summary>Mean cross entropy of the diagonal among all columns that are not the same item again.</summary>
    private static Tensor Loss(Tensor x, Tensor y, Tensor ids, float temperature, Tensor? logQ)
    {
        var logits = matmul(F.normalize(x, 2, 1), F.normalize(y, 2, 1).t()) / temperature;
        logits = logQ is null ? logits : logits - logQ;
        var isHit = ids.unsqueeze(0).eq(ids.unsqueeze(1)).logical_and_(eye(ids.shape[0], dtype: ScalarType.Bool).logical_not());
        return F.cross_entropy(logits.masked_fill(isHit, float.NegativeInfinity), arange(ids.shape[0], dtype: ScalarType.Int64));
    }

    private Tensor Gather(IReadOnlyList<FeatureBinding> features, KeptValues[] kept) => cat(
        [.. features.Select((feature, f) => _bags[feature.Embedding].call(
            tensor(kept[f].Values.ToArray(), ScalarType.Int64),
            tensor(kept[f].Offsets.AsSpan(..^1).ToArray(), ScalarType.Int64)))],
        1);
}

/// <summary>Constants of the SDK's trainer that are not among its options.</summary>
internal static class StepOptions
{
    /// <summary>ε of the SDK's row-wise Adagrad.</summary>
    public const float SparseEpsilon = 1e-10f;
}
