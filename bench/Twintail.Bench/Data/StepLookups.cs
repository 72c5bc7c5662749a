using Twintail.Features;

namespace Twintail.Bench.Data;

/// <summary>
/// What one step reads, as lists of values for each feature. Bags of the user tower: the n clicking users. Bags of the item
/// tower: the n clicked items, then the m items of the self-supervised loss as view 1 and as view 2 keep them.
/// </summary>
internal abstract class StepLookups(int n, int m, IReadOnlyList<FeatureBinding> users, IReadOnlyList<FeatureBinding> items)
{
    /// <summary>Clicks.</summary>
    public int N { get; } = n;

    /// <summary>Items of the self-supervised loss.</summary>
    public int M { get; } = m;

    /// <summary>[user feature]: n bags each.</summary>
    public virtual KeptValues[] Users { get; } = [.. users.Select(_ => new KeptValues(n))];

    /// <summary>[item feature]: n + 2 m bags each.</summary>
    public virtual KeptValues[] Items { get; } = [.. items.Select(_ => new KeptValues(n + (2 * m)))];

    /// <summary>[n]: the clicked items.</summary>
    public virtual int[] Clicked { get; } = new int[n];

    /// <summary>[m].</summary>
    public virtual int[] SelfItems { get; } = new int[m];

    protected IReadOnlyList<FeatureBinding> UserFeatures { get; } = users;

    protected IReadOnlyList<FeatureBinding> ItemFeatures { get; } = items;

    /// <summary>Draws the next step.</summary>
    public abstract void Prepare();
}
