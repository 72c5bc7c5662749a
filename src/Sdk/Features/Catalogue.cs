namespace Twintail.Features;

/// <summary>
/// What a model knows about the world: items and users with their features, the training clicks of each user (the histories)
/// and of each item. It is stored with the model, so that a model's folder is all that evaluation and retrieval need.
/// </summary>
public sealed class Catalogue
{
    /// <summary>Creates a catalogue from its parts; <see cref="FromDataset"/> is the usual way.</summary>
    /// <param name="items">The items.</param>
    /// <param name="users">The users.</param>
    /// <param name="historyOffsets">[users + 1]: where each user's history starts.</param>
    /// <param name="historyItems">Item rows of all histories, oldest click first.</param>
    /// <exception cref="BadArgumentException">The arrays contradict each other.</exception>
    public Catalogue(FeatureTable items, FeatureTable users, long[] historyOffsets, int[] historyItems)
    {
        Items = items ?? throw new ArgumentNullException(nameof(items));
        Users = users ?? throw new ArgumentNullException(nameof(users));
        HistoryOffsets = historyOffsets ?? throw new ArgumentNullException(nameof(historyOffsets));
        HistoryItems = historyItems ?? throw new ArgumentNullException(nameof(historyItems));
        CheckHistory();
        Clicks = new int[items.Rows];
        foreach (int item in historyItems)
        {
            Clicks[item]++;
        }
    }

    /// <summary>The items.</summary>
    public FeatureTable Items { get; }

    /// <summary>The users.</summary>
    public FeatureTable Users { get; }

    /// <summary>[users + 1]: where each user's history starts in <see cref="HistoryItems"/>.</summary>
    public long[] HistoryOffsets { get; }

    /// <summary>Item rows of all histories, oldest click first within a user.</summary>
    public int[] HistoryItems { get; }

    /// <summary>Training clicks of each item, [items].</summary>
    public int[] Clicks { get; }

    /// <summary>
    /// Takes items, users and the training clicks of a data set. Clicks are ordered by timestamp where there is one (stably),
    /// otherwise as they come.
    /// </summary>
    public static Catalogue FromDataset(Dataset dataset)
    {
        if (!dataset.Splits.TryGetValue(Dataset.Train, out Interactions? train))
        {
            train = new Interactions(Array.Empty<int>(), Array.Empty<int>());
        }

        int[] order = Order(train);
        var offsets = new long[dataset.Users.Rows + 1];
        foreach (int user in train.Users)
        {
            offsets[user + 1]++;
        }

        for (int user = 0; user < dataset.Users.Rows; user++)
        {
            offsets[user + 1] += offsets[user];
        }

        var next = (long[])offsets.Clone();
        var items = new int[train.Count];
        foreach (int click in order)
        {
            items[next[train.Users[click]]++] = train.Items[click];
        }

        return new Catalogue(dataset.Items, dataset.Users, offsets, items);
    }

    /// <summary>The training clicks of a user, oldest first.</summary>
    public Span<int> HistoryOf(int userRow)
    {
        int start = (int)HistoryOffsets[userRow];
        return HistoryItems.AsSpan(start, (int)(HistoryOffsets[userRow + 1] - start));
    }

    /// <summary>Turns clicks given by external ids into rows, for the evaluation of a stored model on a log.</summary>
    /// <param name="users">User id of each click.</param>
    /// <param name="items">Item id of each click.</param>
    /// <param name="unknown">Clicks left out, since the catalogue lacks their user or item.</param>
    /// <exception cref="BadArgumentException">The lengths differ.</exception>
    public Interactions Map(IReadOnlyList<string> users, IReadOnlyList<string> items, out int unknown)
    {
        if (users.Count != items.Count)
        {
            throw new BadArgumentException(nameof(items), $"{users.Count} ids as in users", items.Count.ToString());
        }

        var userRows = new List<int>(users.Count);
        var itemRows = new List<int>(users.Count);
        for (int i = 0; i < users.Count; i++)
        {
            int user = Users.RowOf(users[i]);
            int item = Items.RowOf(items[i]);
            if (user >= 0 && item >= 0)
            {
                userRows.Add(user);
                itemRows.Add(item);
            }
        }

        unknown = users.Count - userRows.Count;
        return new Interactions(userRows.ToArray(), itemRows.ToArray());
    }

    private static int[] Order(Interactions train)
    {
        var order = new int[train.Count];
        for (int i = 0; i < order.Length; i++)
        {
            order[i] = i;
        }

        if (train.Timestamps is { } times)
        {
            Array.Sort(order, (a, b) => times[a] != times[b] ? times[a].CompareTo(times[b]) : a.CompareTo(b));
        }

        return order;
    }

    private void CheckHistory()
    {
        bool fits = HistoryOffsets.Length == Users.Rows + 1 && HistoryOffsets[0] == 0 && HistoryOffsets[^1] == HistoryItems.Length;
        for (int user = 0; fits && user < Users.Rows; user++)
        {
            fits = HistoryOffsets[user + 1] >= HistoryOffsets[user];
        }

        if (!fits)
        {
            throw new BadArgumentException(
                "historyOffsets", $"{Users.Rows + 1} ascending offsets from 0 to {HistoryItems.Length}", $"{HistoryOffsets.Length} offsets");
        }

        for (int i = 0; i < HistoryItems.Length; i++)
        {
            if ((uint)HistoryItems[i] >= (uint)Items.Rows)
            {
                throw new BadArgumentException($"historyItems[{i}]", $"a row in [0, {Items.Rows})", HistoryItems[i].ToString());
            }
        }
    }
}
