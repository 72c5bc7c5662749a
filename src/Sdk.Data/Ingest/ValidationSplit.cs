using Twintail.Features;

namespace Twintail.Data.Ingest;

/// <summary>Takes validation clicks out of training clicks.</summary>
internal static class ValidationSplit
{
    /// <summary>Splits; each part keeps the order of the log.</summary>
    /// <exception cref="DatasetException">A split by time without times.</exception>
    public static (Interactions Train, Interactions Valid) Apply(ValidationPolicy policy, Interactions all, int users, string file)
    {
        bool?[] valid = policy.Kind == ValidationKind.LastItem ? LastItem(all, users) : LastByTime(all, policy.Share, file);
        return (Where(all, valid, false), Where(all, valid, true));
    }

    // True: validation; false: training; null: an earlier click on the item held out, which would give the answer away.
    private static bool?[] LastItem(Interactions all, int users)
    {
        var last = new int[users];
        Array.Fill(last, -1);
        for (int i = 0; i < all.Count; i++)
        {
            int before = last[all.Users[i]];
            if (before < 0 || all.Timestamps == null || all.Timestamps[i] >= all.Timestamps[before])
            {
                last[all.Users[i]] = i;
            }
        }

        var hasOther = new bool[users];
        for (int i = 0; i < all.Count; i++)
        {
            hasOther[all.Users[i]] |= all.Items[i] != all.Items[last[all.Users[i]]];
        }

        var valid = new bool?[all.Count];
        for (int i = 0; i < all.Count; i++)
        {
            int user = all.Users[i];
            bool heldOut = hasOther[user] && all.Items[i] == all.Items[last[user]];
            valid[i] = heldOut ? (i == last[user] ? true : null) : false;
        }

        return valid;
    }

    private static bool?[] LastByTime(Interactions all, double share, string file)
    {
        if (all.Timestamps == null)
        {
            throw new DatasetException("a validation split by time needs a timestamp column", file);
        }

        int wanted = (int)Math.Clamp(Math.Round(share * all.Count), 1, Math.Max(1, all.Count - 1));
        var sorted = (long[])all.Timestamps.Clone();
        Array.Sort(sorted);
        long limit = sorted[^wanted];
        int ties = wanted - (sorted.Length - UpperBound(sorted, limit));
        var valid = new bool?[all.Count];
        for (int i = all.Count - 1; i >= 0; i--)
        {
            bool tie = all.Timestamps[i] == limit && ties > 0;
            ties -= tie ? 1 : 0;
            valid[i] = all.Timestamps[i] > limit || tie;
        }

        return valid;
    }

    private static int UpperBound(long[] sorted, long value)
    {
        int low = 0, high = sorted.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = sorted[middle] <= value ? (middle + 1, high) : (low, middle);
        }

        return low;
    }

    private static Interactions Where(Interactions all, bool?[] valid, bool wanted)
    {
        int count = valid.Count(v => v == wanted);
        int[] users = new int[count], items = new int[count];
        long[]? times = all.Timestamps == null ? null : new long[count];
        int at = 0;
        for (int i = 0; i < valid.Length; i++)
        {
            if (valid[i] == wanted)
            {
                users[at] = all.Users[i];
                items[at] = all.Items[i];
                if (times != null)
                {
                    times[at] = all.Timestamps![i];
                }

                at++;
            }
        }

        return new Interactions(users, items, times);
    }
}
