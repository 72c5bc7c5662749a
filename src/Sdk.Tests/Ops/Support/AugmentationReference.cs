using Twintail.Ops;

namespace Twintail.Tests.Ops;

/// <summary>The transformations once more, from the text of twintail.h and PhiloxReference alone.</summary>
internal sealed class AugmentationReference(GatherProblem problem, ViewAugmentation? augmentation, int view)
{
    private const uint Mask = 1, Split = 2, Seed = 3, Value = 4, List = 5;

    private bool Has(Transforms transform) => augmentation != null && (augmentation.Transforms & transform) != 0;

    /// <summary>Features masked as a whole in batch row <paramref name="row"/>.</summary>
    public ulong Masked(uint row)
    {
        row = augmentation?.SeedScope == SeedScope.PerBatch ? 0 : row;
        ulong mask = 0;
        int[] maskable = [.. Enumerable.Range(0, 64).Where(f => ((augmentation?.Maskable ?? 0) >> f & 1) != 0)];
        foreach (int f in Has(Transforms.RandomMask) ? maskable : [])
        {
            uint u = At(Mask, (uint)(f / 4), row, view: view)[f % 4];
            mask |= PhiloxReference.Happens(u, augmentation!.MaskRate) ? 1UL << f : 0;
        }

        if (Has(Transforms.Complementary))
        {
            ulong half = Half(maskable, row);
            mask |= view == 2 ? augmentation!.Maskable & ~half : half;
        }

        if (Has(Transforms.Correlated))
        {
            bool independent = view == 2 && augmentation!.SecondView == SecondView.Independent;
            ulong set = SeedSet(row, independent ? 2 : 0);
            mask |= view == 2 && !independent ? augmentation!.Maskable & ~set : set;
        }

        return mask;
    }

    /// <summary>The values that feature f keeps in table row <paramref name="tableRow"/>, batch row <paramref name="row"/>.</summary>
    public int[] Kept(int f, int tableRow, uint row, int leftOut)
    {
        if ((Masked(row) >> f & 1) != 0)
        {
            return [0];
        }

        FeatureBinding binding = problem.Bindings[f];
        bool drops = Has(Transforms.ValueDropout) && (augmentation!.Maskable >> f & 1) != 0
                     && (binding.Column.IsMultiValued || binding.ThroughList);
        var kept = new List<int>();
        int position = 0;
        foreach ((int source, bool stays) in Sources(binding, tableRow, row, leftOut))
        {
            foreach (int value in binding.Column.ValuesOf(source))
            {
                bool dropped = drops && PhiloxReference.Happens(
                    At(Value, (uint)(position / 4), row, f, view)[position % 4], augmentation!.ValueRate);
                if (stays && !dropped)
                {
                    kept.Add(value);
                }

                position++;
            }
        }

        return kept.Count > 0 ? [.. kept] : [0];
    }

    private IEnumerable<(int Row, bool Stays)> Sources(FeatureBinding binding, int tableRow, uint row, int leftOut)
    {
        if (!binding.ThroughList)
        {
            yield return (tableRow, true);
            yield break;
        }

        long begin = problem.Lists!.Offsets[tableRow];
        for (long p = 0; begin + p < problem.Lists.Offsets[tableRow + 1]; p++)
        {
            int source = problem.Lists.Rows[begin + p];
            bool dropped = Has(Transforms.ListDropout)
                           && PhiloxReference.Happens(At(List, (uint)(p / 4), row, view: view)[p % 4], augmentation!.ListRate);
            yield return (source, source != leftOut && !dropped);
        }
    }

    private ulong Half(int[] maskable, uint row)
    {
        int[] order = [.. maskable];
        int k = order.Length;
        ulong half = 0;
        for (int t = 0; t < k / 2; t++)
        {
            int other = t + (int)PhiloxReference.Below(At(Split, (uint)t, row), k - t);
            (order[t], order[other]) = (order[other], order[t]);
            half |= 1UL << order[t];
        }

        return half;
    }

    private ulong SeedSet(uint row, int countedView)
    {
        ulong[] sets = [.. augmentation!.Correlated!.Where(set => set != 0)];
        return sets[PhiloxReference.Below(At(Seed, 0, row, view: countedView), sets.Length)];
    }

    private uint[] At(uint draw, uint position, uint row, int feature = 0, int view = 0) => PhiloxReference.At(
        augmentation!.Seed, augmentation.Purpose, augmentation.Step, draw, position, row, feature, view);
}
