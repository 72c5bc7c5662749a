using Twintail.Features;
using Twintail.Interop;

namespace Twintail;

/// <summary>How the vectors of a feature's values become one.</summary>
public enum Pooling
{
    /// <summary>Their sum.</summary>
    Sum = 0,

    /// <summary>Their mean.</summary>
    Mean = 1,

    /// <summary>Their sum divided by the square root of their number.</summary>
    SqrtN = 2,
}

/// <summary>One feature of a <see cref="DeviceFeatureTable"/>: a column, and where its vectors come from.</summary>
public sealed class FeatureBinding
{
    /// <summary>Creates a binding.</summary>
    /// <param name="column">The value ids: of the table's own rows, or of the catalogue's rows if <paramref name="throughList"/>.</param>
    /// <param name="embedding">Index of the embedding table that holds the vectors; two features may share one.</param>
    /// <param name="pooling">How the vectors of several values become one.</param>
    /// <param name="throughList">Whether a row has the values of all catalogue rows in its list (a history) instead of own ones.</param>
    public FeatureBinding(FeatureColumn column, int embedding, Pooling pooling = Pooling.Mean, bool throughList = false)
    {
        Column = column ?? throw new ArgumentNullException(nameof(column));
        Embedding = embedding;
        Pooling = pooling;
        ThroughList = throughList;
    }

    /// <summary>The value ids.</summary>
    public FeatureColumn Column { get; }

    /// <summary>Index of the embedding table.</summary>
    public int Embedding { get; }

    /// <summary>How several vectors become one.</summary>
    public Pooling Pooling { get; }

    /// <summary>Whether the values are those of the rows in the row's list.</summary>
    public bool ThroughList { get; }
}

/// <summary>One list of catalogue rows per table row, as a user's history.</summary>
public sealed class RowLists
{
    /// <summary>Creates lists.</summary>
    /// <param name="offsets">[rows + 1]: list r is rows[offsets[r] .. offsets[r + 1]).</param>
    /// <param name="rows">Catalogue rows, in [0, <paramref name="catalogueRows"/>).</param>
    /// <param name="catalogueRows">Number of rows of the catalogue.</param>
    public RowLists(long[] offsets, int[] rows, long catalogueRows)
    {
        Offsets = offsets ?? throw new ArgumentNullException(nameof(offsets));
        Rows = rows ?? throw new ArgumentNullException(nameof(rows));
        CatalogueRows = catalogueRows;
    }

    /// <summary>[rows + 1].</summary>
    public long[] Offsets { get; }

    /// <summary>Catalogue rows of all lists.</summary>
    public int[] Rows { get; }

    /// <summary>Number of rows of the catalogue.</summary>
    public long CatalogueRows { get; }
}

/// <summary>
/// Features of users or items in a device's memory, from which <see cref="Ops.EmbeddingGather"/> reads by row. Every offset and
/// value id is checked once, here.
/// </summary>
public sealed unsafe class DeviceFeatureTable : IDisposable
{
    private readonly List<SharedColumn> _columns = new();
    private readonly FeatureTableHandle _handle;
    private DeviceBuffer<long>? _listOffsets;
    private DeviceBuffer<int>? _listRows;

    /// <summary>Uploads columns and lists.</summary>
    /// <param name="device">Where to.</param>
    /// <param name="rows">Number of rows of the table.</param>
    /// <param name="features">1 to 64 features; the gathered vector is the concatenation in this order.</param>
    /// <param name="lists">One list per row, needed by features through lists.</param>
    /// <param name="shared">A table of the same device: columns that it holds already are not uploaded again.</param>
    /// <exception cref="BadArgumentException">A column does not fit the number of rows, or an id is out of range.</exception>
    /// <exception cref="DeviceOutOfMemoryException">The device has not enough memory.</exception>
    public DeviceFeatureTable(
        Device device, long rows, IReadOnlyList<FeatureBinding> features, RowLists? lists = null, DeviceFeatureTable? shared = null)
    {
        Device = device ?? throw new ArgumentNullException(nameof(device));
        Features = features ?? throw new ArgumentNullException(nameof(features));
        Rows = rows;
        CatalogueRows = lists?.CatalogueRows ?? 0;
        CheckRows(rows, features, lists);
        if (shared != null && shared.Device.Handle != device.Handle)
        {
            throw new BadArgumentException(nameof(shared), "a table of the same device", "one of another device");
        }

        try
        {
            _handle = Create(lists, shared);
        }
        catch
        {
            ReleaseMemory();
            throw;
        }
    }

    /// <summary>The device.</summary>
    public Device Device { get; }

    /// <summary>Number of rows.</summary>
    public long Rows { get; }

    /// <summary>Number of rows that lists point into; 0 without lists.</summary>
    public long CatalogueRows { get; }

    /// <summary>The features in the order of the gathered vector.</summary>
    public IReadOnlyList<FeatureBinding> Features { get; }

    /// <summary>The native table; keep this object reachable until native code is done with it.</summary>
    /// <exception cref="ObjectDisposedException">The table has been disposed.</exception>
    public tt_feature_table* Pointer =>
        _handle.IsClosed ? throw new ObjectDisposedException(nameof(DeviceFeatureTable)) : _handle.Pointer;

    /// <summary>Uploads all columns of a table; feature f uses embedding table f.</summary>
    public static DeviceFeatureTable From(Device device, FeatureTable table, Pooling pooling = Pooling.Mean)
    {
        var features = new FeatureBinding[table.Columns.Count];
        for (int f = 0; f < features.Length; f++)
        {
            features[f] = new FeatureBinding(table.Columns[f], f, pooling);
        }

        return new DeviceFeatureTable(device, table.Rows, features);
    }

    /// <summary>Frees the native table and the memory of the columns that no other table shares.</summary>
    public void Dispose()
    {
        if (!_handle.IsClosed)
        {
            _handle.Dispose();
            ReleaseMemory();
        }
    }

    private static void CheckRows(long rows, IReadOnlyList<FeatureBinding> features, RowLists? lists)
    {
        if (lists != null && lists.Offsets.LongLength != rows + 1)
        {
            throw new BadArgumentException("lists.Offsets", $"{rows + 1} entries, one more than rows", $"{lists.Offsets.Length}");
        }

        for (int f = 0; f < features.Count; f++)
        {
            long expected = features[f].ThroughList ? lists?.CatalogueRows ?? -1 : rows;
            if (expected < 0)
            {
                throw new BadArgumentException(nameof(lists), $"lists, because features[{f}] is read through them", "null");
            }

            if (features[f].Column.Rows != expected)
            {
                throw new BadArgumentException(
                    $"features[{f}]", $"a column of {expected} rows", $"'{features[f].Column.Name}' with {features[f].Column.Rows}");
            }
        }
    }

    private FeatureTableHandle Create(RowLists? lists, DeviceFeatureTable? shared)
    {
        var native = new tt_feature[Features.Count];
        for (int f = 0; f < native.Length; f++)
        {
            FeatureBinding binding = Features[f];
            SharedColumn column = Find(_columns, binding.Column) ?? Find(shared?._columns, binding.Column)
                                  ?? new SharedColumn(Device, binding.Column);
            _columns.Add(column.AddReference());
            native[f] = new tt_feature
            {
                offsets = column.Offsets == null ? null : column.Offsets.Pointer,
                values = column.Values.Pointer,
                value_count = column.Values.Length,
                vocabulary = binding.Column.Vocabulary.Length,
                embedding = binding.Embedding,
                pooling = (int)binding.Pooling,
                through_list = binding.ThroughList ? 1 : 0,
            };
        }

        tt_feature_table_options options = default;
        options.feature_count = native.Length;
        options.rows = Rows;
        if (lists != null)
        {
            _listOffsets = Device.Upload(lists.Offsets);
            _listRows = Device.Upload(lists.Rows);
            options.list_offsets = _listOffsets.Pointer;
            options.list_rows = _listRows.Pointer;
            options.list_count = lists.Rows.Length;
            options.catalogue_rows = lists.CatalogueRows;
        }

        fixed (tt_feature* first = native)
        {
            options.features = first;
            return FeatureTableHandle.Create(Device.Handle, options);
        }
    }

    private static SharedColumn? Find(List<SharedColumn>? columns, FeatureColumn source) =>
        columns?.Find(column => ReferenceEquals(column.Source, source));

    private void ReleaseMemory()
    {
        foreach (SharedColumn column in _columns)
        {
            column.Release();
        }

        _columns.Clear();
        _listOffsets?.Dispose();
        _listRows?.Dispose();
    }

    /// <summary>A column in device memory, freed with the last table that reads it.</summary>
    private sealed class SharedColumn
    {
        private int _references;

        public SharedColumn(Device device, FeatureColumn source)
        {
            Source = source;
            Values = device.Upload(source.Values);
            try
            {
                Offsets = source.Offsets == null ? null : device.Upload(source.Offsets);
            }
            catch
            {
                Values.Dispose();
                throw;
            }
        }

        public FeatureColumn Source { get; }

        public DeviceBuffer<int> Values { get; }

        public DeviceBuffer<long>? Offsets { get; }

        public SharedColumn AddReference()
        {
            _references++;
            return this;
        }

        public void Release()
        {
            if (--_references == 0)
            {
                Values.Dispose();
                Offsets?.Dispose();
            }
        }
    }
}
