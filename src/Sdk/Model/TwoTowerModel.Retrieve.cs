using Twintail.Features;
using Twintail.Ops;
using Twintail.Retrieval;

namespace Twintail.Model;

public sealed unsafe partial class TwoTowerModel
{
    /// <summary>The best items for a user of the catalogue.</summary>
    /// <param name="userId">External id.</param>
    /// <param name="k">How many, 1 to 4096.</param>
    /// <param name="excludeHistory">Whether the user's training items are left out.</param>
    /// <param name="coldBonus">Added to the score of items without a training click, in [-2, 2]; more shows more new items.</param>
    /// <param name="popularityPenalty">
    /// Factor on the logarithm of an item's training clicks that is subtracted from its score, in [-1, 1]; more shows rarer items.
    /// </param>
    /// <exception cref="BadArgumentException">The catalogue has no such user, or k, the bonus or the penalty is out of range.</exception>
    public Recommendation Recommend(string userId, int k, bool excludeHistory = true, float coldBonus = 0, float popularityPenalty = 0)
    {
        var bonus = new ScoreBonus(coldBonus, popularityPenalty);
        bonus.Validate();
        int row = Catalogue.Users.RowOf(userId);
        if (row < 0)
        {
            throw new BadArgumentException(nameof(userId), "a user of the catalogue (for others give a history)", userId);
        }

        int[] exclude = excludeHistory ? Catalogue.HistoryOf(row).ToArray() : Array.Empty<int>();
        using DeviceBuffer<float> vector = Device.Allocate<float>(Dimension);
        EncodeUsers(Network.Users, new[] { row }, vector);
        return new Recommendation(Nearest(vector, k, exclude, bonus), 0);
    }

    /// <summary>The best items for an unseen user with a history; ids that the catalogue lacks are ignored and counted.</summary>
    /// <param name="history">External ids of items, oldest click first; may be empty.</param>
    /// <param name="k">How many, 1 to 4096.</param>
    /// <param name="excludeHistory">Whether these items are left out.</param>
    /// <param name="features">One row with the user's features, or null.</param>
    /// <param name="coldBonus">Added to the score of items without a training click, in [-2, 2]; more shows more new items.</param>
    /// <param name="popularityPenalty">
    /// Factor on the logarithm of an item's training clicks that is subtracted from its score, in [-1, 1]; more shows rarer items.
    /// </param>
    /// <exception cref="BadArgumentException">
    /// k, the bonus or the penalty is out of range, features has not one row, or a text of a numeric column is no number.
    /// </exception>
    public Recommendation Recommend(
        IReadOnlyList<string> history,
        int k,
        bool excludeHistory = true,
        FeatureTable? features = null,
        float coldBonus = 0,
        float popularityPenalty = 0)
    {
        var bonus = new ScoreBonus(coldBonus, popularityPenalty);
        bonus.Validate();
        if (features != null && features.Rows != 1)
        {
            throw new BadArgumentException(nameof(features), "1 row, that of the user", $"{features.Rows}");
        }

        var rows = new List<int>();
        foreach (string id in history)
        {
            int row = Catalogue.Items.RowOf(id);
            if (row >= 0)
            {
                rows.Add(row);
            }
        }

        int[] known = rows.ToArray();
        using DeviceFeatureTable user = UnseenUsers(new[] { known }, features);
        using DeviceBuffer<float> vector = Device.Allocate<float>(Dimension);
        EncodeUsers(user, new[] { 0 }, vector);
        return new Recommendation(Nearest(vector, k, excludeHistory ? known : Array.Empty<int>(), bonus), history.Count - known.Length);
    }

    /// <summary>The items whose vectors are nearest to an item's, itself left out.</summary>
    /// <param name="itemId">External id.</param>
    /// <param name="k">How many, 1 to 4096.</param>
    /// <exception cref="BadArgumentException">The catalogue has no such item, or k is out of range.</exception>
    public Recommendation Similar(string itemId, int k)
    {
        int row = Catalogue.Items.RowOf(itemId);
        if (row < 0)
        {
            throw new BadArgumentException(nameof(itemId), "an item of the catalogue", itemId);
        }

        using DeviceBuffer<float> vector = Device.Allocate<float>(Dimension);
        vector.CopyFrom(ItemVectors(), (long)row * Dimension, 0, Dimension);
        return new Recommendation(Nearest(vector, k, new[] { row }), 0);
    }

    /// <summary>Vectors (not normalised) of the whole catalogue, computed once.</summary>
    internal DeviceBuffer<float> ItemVectors()
    {
        if (_itemVectors == null)
        {
            DeviceBuffer<float> vectors = Device.Allocate<float>((long)Catalogue.Items.Rows * Dimension);
            EncodeItems(Enumerable.Range(0, Catalogue.Items.Rows).ToArray(), vectors);
            _itemVectors = vectors;
        }

        return _itemVectors;
    }

    // The same with a bonus, which callers seldom change; [items, d + 1].
    private DeviceBuffer<float> ItemVectors(ScoreBonus bonus)
    {
        if (_bonusVectors == null || _bonusOfVectors != bonus)
        {
            _bonusVectors?.Dispose();
            _bonusVectors = null;
            _bonusVectors = Device.Upload(ColdBonus.Items(ItemVectors().ToArray(), bonus.Of(Catalogue.Clicks)));
            _bonusOfVectors = bonus;
        }

        return _bonusVectors;
    }

    private List<ScoredItem> Nearest(DeviceBuffer<float> query, int k, int[] exclude, ScoreBonus bonus = default)
    {
        if (bonus.IsNone)
        {
            return Nearest(new RetrievalArguments(1, Catalogue.Items.Rows, Dimension, query, ItemVectors()), k, exclude);
        }

        using DeviceBuffer<float> extended = Device.Upload(ColdBonus.Users(query.ToArray(), 1));
        DeviceBuffer<float> items = ItemVectors(bonus);
        return Nearest(new RetrievalArguments(1, Catalogue.Items.Rows, Dimension + 1, extended, items, Similarity.Dot), k, exclude);
    }

    private List<ScoredItem> Nearest(RetrievalArguments arguments, int k, int[] exclude)
    {
        using DeviceBuffer<long> excludeOffsets = Device.Upload(new long[] { 0, exclude.Length });
        using DeviceBuffer<int> excludeItems = Device.Upload(exclude);
        using DeviceBuffer<int> ids = Device.Allocate<int>(Math.Max(k, 1));
        using DeviceBuffer<float> scores = Device.Allocate<float>(Math.Max(k, 1));
        arguments.ExcludeOffsets = excludeOffsets;
        arguments.ExcludeItems = excludeItems;
        TopK.Find(Device, arguments, k, ids, scores);
        int[] rows = ids.ToArray();
        float[] values = scores.ToArray();
        var items = new List<ScoredItem>(k);
        for (int i = 0; i < rows.Length && rows[i] >= 0; i++)
        {
            items.Add(new ScoredItem(rows[i], Catalogue.Items.Ids[rows[i]], values[i]));
        }

        return items;
    }
}
