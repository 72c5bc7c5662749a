using Twintail.Features;

namespace Twintail.Augmentation;

/// <summary>
/// Mutual information between all pairs of the item features, over the catalogue (each item counts once, whatever its clicks):
/// MI(u, v) = Σ p(u,v) log( p(u,v) / (p(u) p(v)) ) in nats. A new feature costs k pair counts, not k².
/// </summary>
public sealed class MutualInformation
{
    /// <summary>Computes the matrix of all columns of a table.</summary>
    /// <param name="device">Where to count.</param>
    /// <param name="items">The catalogue.</param>
    /// <param name="seed">Seed of the permutations behind <see cref="Relatedness.Adjusted"/>.</param>
    public static MutualInformation Compute(Device device, FeatureTable items, long seed = 1) => throw new NotImplementedException();

    /// <summary>The features, in the order of the matrix.</summary>
    public IReadOnlyList<string> Names => throw new NotImplementedException();

    /// <summary>Pair counts done so far.</summary>
    public int PairCounts => throw new NotImplementedException();

    /// <summary>The relation of two features, symmetric; of a feature with itself: H for Plain, else 1.</summary>
    public double Get(int a, int b, Relatedness measure) => throw new NotImplementedException();

    /// <summary>Adds a feature: k pair counts against the k features that are there.</summary>
    /// <exception cref="BadArgumentException">The name is taken or the number of rows differs.</exception>
    public void AddFeature(Device device, FeatureColumn column) => throw new NotImplementedException();

    /// <summary>The seed and its ⌊k/2⌋ most related features (the lower index where equal), ascending.</summary>
    public int[] MaskedWith(int seed, Relatedness measure) => throw new NotImplementedException();
}
