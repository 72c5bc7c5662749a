using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;

namespace Twintail.Training;

/// <summary>What a training keeps on its device, part by part: what <see cref="Network"/>, <see cref="TrainingStep"/> and an evaluation take.</summary>
internal static class MemoryParts
{
    /// <summary>A block of <see cref="Evaluation.Evaluator"/>.</summary>
    public const int EvaluationUsers = 2048;

    private const int Float = sizeof(float);
    private const int EncodedRows = 4096; // of TwoTowerModel

    public static IReadOnlyList<MemoryPart> Of(TrainingShape shape, Device device, long freeBytes, bool evaluates)
    {
        bool isCpu = device.Kind == DeviceKind.Cpu;
        KernelWorkspace workspace = isCpu ? new CpuWorkspace(shape, device.Info.Threads) : new CudaWorkspace(shape, freeBytes, CudaWorkspace.UsesLibrary(device));
        return new[]
        {
            new MemoryPart("tables", Tables(shape), "--id-dimension, --feature-dimension"),
            new MemoryPart("optimiser", TableStates(shape), "--sparse-optimizer, --id-dimension, --feature-dimension"),
            new MemoryPart("towers", Towers(shape), "--tower, --dimension, --dense-optimizer"),
            new MemoryPart("data", Data(shape) + (isCpu ? Packed(shape) : 0), "--history-length, --ignore"),
            new MemoryPart("batch", Batch(shape), "--batch-size, --self-batch-size, --mixed-negatives, --tower"),
            new MemoryPart("workspace", workspace.Bytes(evaluates), "--batch-size, --history-length"),
            new MemoryPart("evaluation", evaluates ? Evaluation(shape) : 0, "--dimension"),
        };
    }

    private static long Tables(TrainingShape shape) => shape.Layout.Embeddings.Sum(table => Float * (long)table.Rows * table.Dim);

    private static long TableStates(TrainingShape shape)
    {
        Optimizer sparse = StepOptimizers.SparseRule(shape.Options);
        return Float * shape.Layout.Embeddings.Sum(t => sparse.State1Length(t.Rows, t.Dim) + sparse.State2Length(t.Rows, t.Dim));
    }

    /// <summary>Parameters of both, their gradients and the optimiser's states.</summary>
    private static long Towers(TrainingShape shape)
    {
        long parameters = shape.UserTower.End;
        Optimizer dense = StepOptimizers.DenseRule(shape.Options);
        return Float * ((2 * parameters) + dense.State1Length(1, parameters) + dense.State2Length(1, parameters));
    }

    /// <summary>Columns (each once, though both towers may read it), histories, clicks, log q.</summary>
    private static long Data(TrainingShape shape)
    {
        long bytes = shape.Layout.Items.Concat(shape.Layout.Users).Select(feature => feature.Column).Distinct().Sum(Bytes);
        bytes += (sizeof(long) * (shape.Users + 1)) + (sizeof(int) * shape.HistoryEntries);
        bytes += 2 * sizeof(int) * shape.Clicks;
        return bytes + (shape.Options.Correction == Correction.LogQ ? 2 * sizeof(int) * shape.Items : 0);
    }

    private static long Bytes(FeatureColumn column) =>
        ((long)sizeof(int) * column.Values.Length) + ((long)sizeof(long) * (column.Offsets?.Length ?? 0));

    /// <summary>The copies of the CPU backend, in which the features of a row lie together.</summary>
    private static long Packed(TrainingShape shape)
    {
        FeatureBinding[] own = shape.Layout.Users.Where(feature => !feature.ThroughList).ToArray();
        FeatureBinding[] listed = shape.Layout.Users.Where(feature => feature.ThroughList).ToArray();
        long logQ = shape.Options.Correction == Correction.LogQ ? sizeof(int) * shape.Items : 0;
        return Packed(shape.Layout.Items, shape.Items) + Packed(own, shape.Users) + Packed(listed, shape.Items) + logQ;
    }

    private static long Packed(IReadOnlyList<FeatureBinding> features, long rows)
    {
        FeatureBinding[] multiValued = features.Where(feature => feature.Column.IsMultiValued).ToArray();
        long words = (rows * features.Count) + multiValued.Sum(feature => (long)feature.Column.Values.Length);
        return (sizeof(int) * words) + (multiValued.Length > 0 ? sizeof(long) * (rows + 1) : 0);
    }

    /// <summary>Inputs and outputs of every layer with their gradients, and the rows that a step draws.</summary>
    private static long Batch(TrainingShape shape)
    {
        long floats = 2 * ((shape.Batch * Widths(shape.UserTower)) + (shape.ItemRows * Widths(shape.ItemTower)));
        return Float * (floats + shape.Batch + (2 * shape.Columns) + shape.SelfItems);
    }

    private static long Widths(Tower tower)
    {
        long widths = 0;
        for (int layer = 0; layer <= tower.Layers; layer++)
        {
            widths += tower.Width(layer);
        }

        return widths;
    }

    /// <summary>Activations of the encoder, all items' vectors, a block of users.</summary>
    private static long Evaluation(TrainingShape shape)
    {
        long users = Math.Min(EvaluationUsers, shape.Users);
        long floats = (EncodedRows * (Widths(shape.UserTower) + Widths(shape.ItemTower))) + ((shape.Items + users) * shape.Options.Dimension);
        return Float * (floats + shape.Items + (long)(users * shape.MeanHistory));
    }
}
