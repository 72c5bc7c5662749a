namespace Twintail.Augmentation;

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
