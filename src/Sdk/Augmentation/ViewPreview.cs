using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Training;

namespace Twintail.Augmentation;

/// <summary>One feature of an item in one view.</summary>
public sealed class FeaturePreview
{
    internal FeaturePreview(string feature, bool isMasked, IReadOnlyList<string> kept, IReadOnlyList<string> dropped)
    {
        Feature = feature;
        IsMasked = isMasked;
        Kept = kept;
        Dropped = dropped;
    }

    /// <summary>The feature's name; "item_id" for the id itself.</summary>
    public string Feature { get; }

    /// <summary>Whether the feature is masked as a whole.</summary>
    public bool IsMasked { get; }

    /// <summary>Values that the view keeps; empty: the default stands in.</summary>
    public IReadOnlyList<string> Kept { get; }

    /// <summary>Values that it drops.</summary>
    public IReadOnlyList<string> Dropped { get; }
}

/// <summary>What the two views of an item keep and drop.</summary>
public sealed class ViewPreview
{
    internal ViewPreview(IReadOnlyList<FeaturePreview> view1, IReadOnlyList<FeaturePreview> view2)
    {
        View1 = view1;
        View2 = view2;
    }

    /// <summary>Features of the first view, the id first.</summary>
    public IReadOnlyList<FeaturePreview> View1 { get; }

    /// <summary>Features of the second view.</summary>
    public IReadOnlyList<FeaturePreview> View2 { get; }

    /// <summary>Draws the views of one item as a training step does.</summary>
    /// <param name="device">Where to draw.</param>
    /// <param name="items">The catalogue.</param>
    /// <param name="row">The item.</param>
    /// <param name="options">Augmentation, rates, seed and so on.</param>
    /// <param name="step">Different steps draw differently.</param>
    /// <exception cref="BadArgumentException">The row or an option is out of range.</exception>
    public static ViewPreview Create(Device device, FeatureTable items, int row, TrainingOptions options, long step = 0)
    {
        options.Validate();
        if ((uint)row >= (uint)items.Rows)
        {
            throw new BadArgumentException(nameof(row), $"a row in [0, {items.Rows})", row.ToString());
        }

        // One row is enough: whatever the catalogue's size, only this item is drawn.
        var columns = new List<FeatureColumn> { new(FeatureLayout.IdName, new[] { "", items.Ids[row] }, new[] { 1 }) };
        columns.AddRange(items.Columns.Select(column => RowOf(column, row)));
        var bindings = columns.ConvertAll(column => new FeatureBinding(column, 0));
        using var table = new DeviceFeatureTable(device, 1, bindings);
        ulong[]? correlated = CorrelatedSets.Create(device, items, options);
        return new ViewPreview(
            Draw(device, table, columns, options, correlated, step, 1), Draw(device, table, columns, options, correlated, step, 2));
    }

    private static FeatureColumn RowOf(FeatureColumn column, int row)
    {
        int[] values = column.ValuesOf(row).ToArray();
        return new FeatureColumn(column.Name, column.Vocabulary, values, column.IsMultiValued ? new long[] { 0, values.Length } : null);
    }

    private static FeaturePreview[] Draw(
        Device device, DeviceFeatureTable table, List<FeatureColumn> columns, TrainingOptions options, ulong[]? correlated, long step, int view)
    {
        using DeviceBuffer<int> rows = device.Upload(new[] { 0 });
        var gather = new GatherView(rows, null)
        {
            View = view,
            Augmentation = new ViewAugmentation(
                options.Augmentation, AllFeatures(columns.Count), (ulong)options.Seed, (uint)Purpose.SelfViews, step)
            {
                Correlated = correlated,
                MaskRate = options.MaskRate,
                ValueRate = options.ValueRate,
                SecondView = options.SecondView,
                SeedScope = options.SeedScope,
            },
        };
        var result = new FeaturePreview[columns.Count];
        for (int f = 0; f < result.Length; f++)
        {
            AugmentedValues drawn = EmbeddingGather.Preview(device, table, gather, f);
            var kept = drawn.Values.Where(value => value != 0).ToList();
            List<int> dropped = columns[f].Values.Where(value => value != 0).ToList();
            kept.ForEach(value => dropped.Remove(value));
            string[] texts = columns[f].Vocabulary;
            result[f] = new FeaturePreview(
                columns[f].Name, (drawn.Masks[0] >> f & 1) != 0, kept.ConvertAll(x => texts[x]), dropped.ConvertAll(x => texts[x]));
        }

        return result;
    }

    /// <summary>Bits 0 .. count - 1.</summary>
    internal static ulong AllFeatures(int count) => count >= 64 ? ulong.MaxValue : (1ul << count) - 1;
}
