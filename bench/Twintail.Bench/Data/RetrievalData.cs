namespace Twintail.Bench.Data;

/// <summary>Users, items and the items that each user may not get (those clicked in training).</summary>
internal sealed class RetrievalData
{
    public RetrievalData(int users, int items, int d)
    {
        (Users, Items, D) = (users, items, d);
        Queries = SplitMix.Uniform(21, (long)users * d);
        Catalogue = SplitMix.Uniform(22, (long)items * d);
        var random = new SplitMix(23);
        ExcludeOffsets = new long[users + 1];
        var excluded = new List<int>();
        var seen = new HashSet<int>();
        for (int u = 0; u < users; u++)
        {
            // 5 to 95 clicks a user, popular items more often.
            seen.Clear();
            int clicks = Math.Min(5 + random.Below(91), items / 2);
            for (int c = 0; c < clicks; c++)
            {
                seen.Add(Math.Min(random.Popular(items + 1) - 1, items - 1));
            }

            excluded.AddRange(seen);
            ExcludeOffsets[u + 1] = excluded.Count;
        }

        ExcludeItems = [.. excluded];
    }

    public int Users { get; }

    public int Items { get; }

    public int D { get; }

    /// <summary>[users, d].</summary>
    public float[] Queries { get; }

    /// <summary>[items, d].</summary>
    public float[] Catalogue { get; }

    /// <summary>[users + 1].</summary>
    public long[] ExcludeOffsets { get; }

    /// <summary>[ExcludeOffsets[users]].</summary>
    public int[] ExcludeItems { get; }
}
