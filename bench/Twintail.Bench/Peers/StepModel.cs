using TorchSharp.Modules;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>The two-tower model as tensors: embedding tables with their state, and both towers.</summary>
internal sealed class StepModel(
    TorchTables tables,
    IReadOnlyList<FeatureBinding> userFeatures,
    IReadOnlyList<FeatureBinding> itemFeatures,
    TorchTower userTower,
    TorchTower itemTower) : IDisposable
{
    public TorchTables Tables { get; } = tables;

    public IReadOnlyList<FeatureBinding> UserFeatures { get; } = userFeatures;

    public IReadOnlyList<FeatureBinding> ItemFeatures { get; } = itemFeatures;

    public TorchTower UserTower { get; } = userTower;

    public TorchTower ItemTower { get; } = itemTower;

    /// <summary>All layers' parameters.</summary>
    public IEnumerable<Parameter> Parameters => ItemTower.Parameters.Concat(UserTower.Parameters);

    public IEnumerable<Output> Outputs() =>
    [
        .. Tables.Weights.Select((w, i) => Torch.View($"weights{i}", w)),
        .. Tables.States.Select((s, i) => Torch.View($"state{i}", s)),
        .. ItemTower.Parameters.Select((p, i) => Torch.View($"item{i}", p)),
        .. UserTower.Parameters.Select((p, i) => Torch.View($"user{i}", p)),
    ];

    /// <summary>The same names for layers that lie one after the other in memory.</summary>
    public static unsafe IEnumerable<Output> TowerOutputs(string name, int[] widths, IntPtr start)
    {
        var outputs = new List<Output>();
        var at = (float*)start;
        for (int layer = 0; layer + 1 < widths.Length; layer++)
        {
            long weights = (long)widths[layer] * widths[layer + 1];
            outputs.Add(new Output($"{name}{2 * layer}", (IntPtr)at, weights));
            outputs.Add(new Output($"{name}{(2 * layer) + 1}", (IntPtr)(at + weights), widths[layer + 1]));
            at += weights + widths[layer + 1];
        }

        return outputs;
    }

    public void Dispose()
    {
        Tables.Dispose();
        UserTower.Dispose();
        ItemTower.Dispose();
    }
}
