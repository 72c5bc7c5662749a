namespace Twintail.Augmentation;

/// <summary>
/// The item-feature transformations of the self-supervised loss (Yao et al., CIKM 2021, and Wang's course). They add up:
/// a feature is masked if any of them masks it; <see cref="Complementary"/> and <see cref="Correlated"/> exclude each other.
/// </summary>
[Flags]
public enum Transforms
{
    /// <summary>No transformation: self-supervision is off.</summary>
    None = 0,

    /// <summary>Each feature becomes its default with the mask rate, independently in each view.</summary>
    RandomMask = 1,

    /// <summary>Each value of a multi-valued feature is dropped with the value rate, independently in each view.</summary>
    ValueDropout = 2,

    /// <summary>A random half of the features is masked in view 1, the other half in view 2.</summary>
    Complementary = 4,

    /// <summary>A random seed feature and its ⌊k/2⌋ most related features (mutual information) are masked.</summary>
    Correlated = 8,
}

/// <summary>What the second view masks under <see cref="Transforms.Correlated"/>.</summary>
public enum SecondView
{
    /// <summary>All that the first view keeps.</summary>
    Complement,

    /// <summary>The set of a second seed, drawn independently.</summary>
    Independent,
}

/// <summary>How often whole-feature decisions (mask, split, seed) are drawn.</summary>
public enum SeedScope
{
    /// <summary>For each item.</summary>
    Row,

    /// <summary>Once for the batch.</summary>
    Batch,
}

/// <summary>Measure of how related two features are, from their mutual information MI(u, v) over the catalogue.</summary>
public enum Relatedness
{
    /// <summary>MI itself, in nats. Features with many values look related to everything.</summary>
    Plain,

    /// <summary>MI / sqrt(H(u) H(v)), in [0, 1].</summary>
    Normalized,

    /// <summary>
    /// (MI − c) / (sqrt(H(u) H(v)) − c) with c the MI of u and a random permutation of v's rows: what chance alone gives.
    /// Near 0 for unrelated features however many values they have.
    /// </summary>
    Adjusted,
}
