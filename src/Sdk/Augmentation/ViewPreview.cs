using Twintail.Features;
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
    public static ViewPreview Create(Device device, FeatureTable items, int row, TrainingOptions options, long step = 0) => throw new NotImplementedException();
}
