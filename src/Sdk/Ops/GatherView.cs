using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>
/// The transformations of features (Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021, and
/// Wang's course). They add up; <see cref="Complementary"/> and <see cref="Correlated"/> exclude each other.
/// </summary>
[Flags]
public enum Transforms
{
    /// <summary>Features as they are.</summary>
    None = 0,

    /// <summary>Each maskable feature becomes the default with probability MaskRate.</summary>
    RandomMask = 1,

    /// <summary>Each value of a multi-valued maskable feature is dropped with probability ValueRate.</summary>
    ValueDropout = 2,

    /// <summary>A random half of the maskable features is masked in view 1, all the others in view 2.</summary>
    Complementary = 4,

    /// <summary>A random seed feature's set is masked in view 1; view 2 masks the rest, or the set of a seed of its own.</summary>
    Correlated = 8,

    /// <summary>Each position of the row's list is dropped with probability ListRate; for tables with lists, so not for the views of items.</summary>
    ListDropout = 16,
}

/// <summary>What view 2 masks under <see cref="Transforms.Correlated"/>.</summary>
public enum SecondView
{
    /// <summary>The maskable features that view 1 keeps.</summary>
    Complement = 0,

    /// <summary>The set of a seed of its own.</summary>
    Independent = 1,
}

/// <summary>How often decisions about whole features are drawn.</summary>
public enum SeedScope
{
    /// <summary>For each row.</summary>
    PerRow = 0,

    /// <summary>Once for the batch.</summary>
    PerBatch = 1,
}

/// <summary>Which features are transformed, how, and with which random numbers.</summary>
/// <param name="Transforms">Which.</param>
/// <param name="Maskable">Bit f: feature f may be masked or lose values.</param>
/// <param name="Seed">Seed of the run.</param>
/// <param name="Purpose">Different purposes draw independently.</param>
/// <param name="Step">Step of the run.</param>
public sealed record ViewAugmentation(Transforms Transforms, ulong Maskable, ulong Seed, uint Purpose = 0, long Step = 0)
{
    /// <summary>[features]: the set masked when feature f is the seed (0: never the seed); only for Correlated.</summary>
    public ulong[]? Correlated { get; init; }

    /// <summary>In [0, 1].</summary>
    public float MaskRate { get; init; }

    /// <summary>In [0, 1].</summary>
    public float ValueRate { get; init; }

    /// <summary>In [0, 1].</summary>
    public float ListRate { get; init; }

    /// <summary>What view 2 masks under Correlated.</summary>
    public SecondView SecondView { get; init; }

    /// <summary>How often decisions about whole features are drawn.</summary>
    public SeedScope SeedScope { get; init; }

    internal unsafe tt_augmentation ToNative(ulong* correlated) => new()
    {
        struct_size = sizeof(tt_augmentation),
        transforms = (uint)Transforms,
        maskable = Maskable,
        correlated = correlated,
        mask_rate = MaskRate,
        value_rate = ValueRate,
        list_rate = ListRate,
        second_view = (int)SecondView,
        seed_scope = (int)SeedScope,
        purpose = Purpose,
        seed = Seed,
        step = Step,
    };
}

/// <summary>One reading of rows of a <see cref="DeviceFeatureTable"/>.</summary>
public sealed class GatherView
{
    /// <summary>Names what is always there.</summary>
    /// <param name="rows">[n], in [0, rows of the table).</param>
    /// <param name="vectors">[n, ld]: forward writes it, backward reads its gradient; may be null where neither is asked for.</param>
    /// <param name="n">Number of rows, or -1: all of <paramref name="rows"/>.</param>
    public GatherView(DeviceBuffer<int> rows, DeviceBuffer<float>? vectors, long n = -1)
    {
        Rows = rows ?? throw new ArgumentNullException(nameof(rows));
        Vectors = vectors;
        N = n < 0 ? rows.Length : n;
    }

    /// <summary>[n].</summary>
    public DeviceBuffer<int> Rows { get; }

    /// <summary>[n, ld].</summary>
    public DeviceBuffer<float>? Vectors { get; }

    /// <summary>Number of rows.</summary>
    public long N { get; }

    /// <summary>Distance between rows of Vectors in elements; 0: the sum of the features' dimensions.</summary>
    public long LeadingDimension { get; set; }

    /// <summary>First element of Vectors that is used.</summary>
    public long VectorsOffset { get; set; }

    /// <summary>[n]: catalogue row removed from row i's list, -1: none; or null.</summary>
    public DeviceBuffer<int>? LeftOut { get; set; }

    /// <summary>How features are transformed, or null: as they are.</summary>
    public ViewAugmentation? Augmentation { get; set; }

    /// <summary>Number of the first row in the random counters.</summary>
    public long RowBase { get; set; }

    /// <summary>0, 1 or 2: which view of an augmented pair this is.</summary>
    public int View { get; set; }
}
