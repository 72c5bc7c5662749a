using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Model;

public sealed unsafe partial class TwoTowerModel
{
    /// <summary>Unit vectors [rows.Length, d] of items.</summary>
    /// <exception cref="BadArgumentException">A row is out of range.</exception>
    public float[] EmbedItems(int[] rows)
    {
        CheckRows(rows, Catalogue.Items.Rows, nameof(rows));
        using DeviceBuffer<float> vectors = Device.Allocate<float>((long)rows.Length * Dimension);
        EncodeItems(rows, vectors);
        return Normalized(vectors);
    }

    /// <summary>Unit vectors [rows.Length, d] of users of the catalogue, from their features and histories.</summary>
    /// <exception cref="BadArgumentException">A row is out of range.</exception>
    public float[] EmbedUsers(int[] rows)
    {
        CheckRows(rows, Catalogue.Users.Rows, nameof(rows));
        using DeviceBuffer<float> vectors = Device.Allocate<float>((long)rows.Length * Dimension);
        EncodeUsers(Network.Users, rows, vectors);
        return Normalized(vectors);
    }

    /// <summary>Unit vectors [histories.Count, d] of unseen users: item rows that they have clicked, and features if known.</summary>
    /// <param name="histories">Item rows, oldest first; may be empty.</param>
    /// <param name="features">Their features by the names of the catalogue's columns; values that the catalogue lacks and columns
    /// that are absent count as unknown, and numbers fall into the catalogue's buckets; null: all unknown.</param>
    /// <exception cref="BadArgumentException">A row is out of range, the numbers of users differ, or a text is no number.</exception>
    public float[] EmbedUsers(IReadOnlyList<int[]> histories, FeatureTable? features = null)
    {
        if (features != null && features.Rows != histories.Count)
        {
            throw new BadArgumentException(nameof(features), $"{histories.Count} rows as histories", $"{features.Rows}");
        }

        using DeviceFeatureTable users = UnseenUsers(histories, features);
        using DeviceBuffer<float> vectors = Device.Allocate<float>((long)histories.Count * Dimension);
        EncodeUsers(users, Enumerable.Range(0, histories.Count).ToArray(), vectors);
        return Normalized(vectors);
    }

    /// <summary>Vectors (not normalised) of items, [rows.Length, d].</summary>
    internal void EncodeItems(int[] rows, DeviceBuffer<float> vectors)
    {
        _items ??= new TowerActivations(Device, Network.ItemTower, BlockRows, training: false);
        using DeviceBuffer<int> deviceRows = Device.Upload(rows);
        for (int start = 0; start < rows.Length; start += BlockRows)
        {
            int count = Math.Min(BlockRows, rows.Length - start);
            Network.EncodeItems(deviceRows.Pointer + start, count, _items);
            CopyOut(_items.Outputs, vectors, start, count);
        }
    }

    /// <summary>Vectors (not normalised) of users of a table, [rows.Length, d].</summary>
    internal void EncodeUsers(DeviceFeatureTable users, int[] rows, DeviceBuffer<float> vectors)
    {
        _users ??= new TowerActivations(Device, Network.UserTower, BlockRows, training: false);
        using DeviceBuffer<int> deviceRows = Device.Upload(rows);
        for (int start = 0; start < rows.Length; start += BlockRows)
        {
            int count = Math.Min(BlockRows, rows.Length - start);
            Network.EncodeUsers(users, deviceRows.Pointer + start, count, _users);
            CopyOut(_users.Outputs, vectors, start, count);
        }
    }

    private static void CheckRows(int[] rows, int count, string name)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            if ((uint)rows[i] >= (uint)count)
            {
                throw new BadArgumentException($"{name}[{i}]", $"a row in [0, {count})", rows[i].ToString());
            }
        }
    }

    private DeviceFeatureTable UnseenUsers(IReadOnlyList<int[]> histories, FeatureTable? features)
    {
        var offsets = new long[histories.Count + 1];
        var rows = new List<int>();
        for (int user = 0; user < histories.Count; user++)
        {
            CheckRows(histories[user], Catalogue.Items.Rows, $"histories[{user}]");
            rows.AddRange(histories[user]);
            offsets[user + 1] = rows.Count;
        }

        var bindings = new List<FeatureBinding>();
        foreach (FeatureBinding binding in Network.Layout.Users)
        {
            FeatureColumn column = binding.ThroughList
                ? binding.Column
                : GivenFeature.Translate(binding.Column, features?.Columns.FirstOrDefault(x => x.Name == binding.Column.Name), histories.Count);
            bindings.Add(new FeatureBinding(column, binding.Embedding, binding.Pooling, binding.ThroughList));
        }

        RowLists lists = FeatureLayout.Histories(offsets, rows.ToArray(), Catalogue.Items.Rows, Network.Options.HistoryLength);
        return new DeviceFeatureTable(Device, histories.Count, bindings, lists, Network.Items);
    }

    private void CopyOut(float* from, DeviceBuffer<float> vectors, long start, long count)
    {
        using ContextLease lease = Device.Handle.Enter();
        Status.Check(NativeMethods.tt_memory_copy(
            lease.Pointer, vectors.Pointer + (start * Dimension), from, count * Dimension * sizeof(float), (int)tt_copy.TT_DEVICE_TO_DEVICE));
    }

    private float[] Normalized(DeviceBuffer<float> vectors)
    {
        float[] values = vectors.ToArray();
        int d = Dimension;
        for (int start = 0; start < values.Length; start += d)
        {
            double sum = 0;
            for (int i = start; i < start + d; i++)
            {
                sum += (double)values[i] * values[i];
            }

            double factor = Math.Sqrt(sum) < 1e-12 ? 0 : 1 / Math.Sqrt(sum);
            for (int i = start; i < start + d; i++)
            {
                values[i] = (float)(values[i] * factor);
            }
        }

        return values;
    }
}
