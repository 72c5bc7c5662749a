using Twintail.Features;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Augmentation;

/// <summary>
/// For each feature of the item tower (the id first) the set that is masked when it is the seed: itself and its ⌊k/2⌋ most related
/// features, k counting the id. The id needs no counting: it tells every other feature, so that its MI with v is H(v), which over
/// sqrt(log(items) H(v)) is its normalised one; but so would any numbering of the items, so that adjusted for chance it is 0.
/// </summary>
internal static class CorrelatedSets
{
    /// <summary>Bit f of element s: feature f is masked when s is the seed. Null where options do not need it.</summary>
    public static ulong[]? Create(Device device, FeatureTable items, TrainingOptions options)
    {
        if ((options.Augmentation & Transforms.Correlated) == 0)
        {
            return null;
        }

        MutualInformation information = MutualInformation.Compute(device, items, options.Seed);
        return Create(information, items.Rows, options.Relatedness);
    }

    internal static ulong[] Create(MutualInformation information, int items, Relatedness measure)
    {
        int features = information.Count + 1;
        var sets = new ulong[features];
        for (int seed = 0; seed < features; seed++)
        {
            int current = seed;
            foreach (int feature in MutualInformation.MostRelated(seed, features, other => Relation(information, items, current, other, measure)))
            {
                sets[seed] |= 1ul << feature;
            }
        }

        return sets;
    }

    private static double Relation(MutualInformation information, int items, int a, int b, Relatedness measure)
    {
        if (a > 0 && b > 0)
        {
            return information.Get(a - 1, b - 1, measure);
        }

        double entropy = information.Entropy(Math.Max(a, b) - 1);
        switch (measure)
        {
            case Relatedness.Plain:
                return entropy;
            case Relatedness.Normalized:
                return items > 1 ? Math.Sqrt(entropy / Math.Log(items)) : 0;
            default:
                return 0;
        }
    }
}
