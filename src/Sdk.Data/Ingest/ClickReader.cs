using System.Globalization;
using Twintail.Data.Duck;
using Twintail.Features;

namespace Twintail.Data.Ingest;

/// <summary>Reads clicks in the order of the files. Users and items are numbered by the dictionaries; new ids are added to them.</summary>
internal sealed class ClickReader
{
    private const string DefaultTimestamp = "timestamp";
    private const string DefaultSplit = "split";

    private readonly DatasetOptions _options;
    private readonly Utf8Dictionary _userIds;
    private readonly Utf8Dictionary _itemIds;
    private readonly Timestamps _timestamps = new();
    private readonly Utf8Dictionary _splitNames = new();
    private readonly PagedList<int> _users = new();
    private readonly PagedList<int> _items = new();
    private readonly PagedList<long> _times = new();
    private readonly PagedList<ushort> _splits = new();
    private string? _pattern;

    public ClickReader(DatasetOptions options, Utf8Dictionary userIds, Utf8Dictionary itemIds)
    {
        _options = options;
        _userIds = userIds;
        _itemIds = itemIds;
    }

    /// <summary>Name of the split column; null if there is none.</summary>
    public string? SplitColumn { get; private set; }

    /// <summary>Name of the time column; null if there is none.</summary>
    public string? TimestampColumn { get; private set; }

    public long Count => _users.Count;

    public void Read(DuckDb duck, string pattern, CancellationToken cancel)
    {
        _pattern = pattern;
        IReadOnlyList<SourceFile> files = SourceFile.OpenAll(duck, pattern, cancel);
        // A column that any file has must be in all of them: left out, test clicks would become training clicks.
        TimestampColumn = _options.TimestampColumn ?? (files.Any(file => file.Find(DefaultTimestamp) != null) ? DefaultTimestamp : null);
        SplitColumn = _options.SplitColumn ?? (files.Any(file => file.Find(DefaultSplit) != null) ? DefaultSplit : null);
        foreach (SourceFile file in files)
        {
            ReadFile(duck, file, cancel);
        }

        if (Count == 0)
        {
            throw new DatasetException("there is no row below the header", pattern);
        }
    }

    /// <summary>The clicks of each split whose user and item have a row; clicks without split column are the split "train".</summary>
    /// <param name="userRows">Users with a larger number are left out.</param>
    /// <param name="itemRows">Items with a larger number are left out.</param>
    /// <exception cref="DatasetException">A split has more clicks than an array holds.</exception>
    public Dictionary<string, Interactions> BySplit(int userRows, int itemRows)
    {
        int names = SplitColumn == null ? 1 : _splitNames.Count;
        var clicks = new long[names];
        for (long i = 0; i < Count; i++)
        {
            clicks[SplitOf(i)] += _users[i] < userRows && _items[i] < itemRows ? 1 : 0;
        }

        int[] counts = clicks.Select((count, split) => ArrayLength(count, NameOf(split), _pattern)).ToArray();
        int[][] users = Array.ConvertAll(counts, n => new int[n]);
        int[][] items = Array.ConvertAll(counts, n => new int[n]);
        long[][]? times = TimestampColumn == null ? null : Array.ConvertAll(counts, n => new long[n]);
        var next = new int[names];
        for (long i = 0; i < Count; i++)
        {
            if (_users[i] < userRows && _items[i] < itemRows)
            {
                int split = SplitOf(i), at = next[split]++;
                users[split][at] = _users[i];
                items[split][at] = _items[i];
                if (times != null)
                {
                    times[split][at] = _times[i];
                }
            }
        }

        return Enumerable.Range(0, names).ToDictionary(
            NameOf,
            split => new Interactions(users[split], items[split], times?[split]),
            StringComparer.Ordinal);
    }

    /// <summary>Clicks whose item's number is at least <paramref name="itemRows"/>.</summary>
    public long CountItemsFrom(int itemRows)
    {
        long count = 0;
        for (long i = 0; i < Count; i++)
        {
            count += _items[i] >= itemRows ? 1 : 0;
        }

        return count;
    }

    /// <summary>A split's number of clicks as the length of an array.</summary>
    /// <exception cref="DatasetException">No array is as long.</exception>
    internal static int ArrayLength(long clicks, string split, string? file) => clicks <= Array.MaxLength
        ? (int)clicks
        : throw new DatasetException(
            string.Create(CultureInfo.InvariantCulture, $"expected at most {Array.MaxLength:N0} clicks in a split, got {clicks:N0} in '{split}'"), file);

    private string NameOf(int split) => SplitColumn == null ? Dataset.Train : _splitNames.Text(split);

    private int SplitOf(long click) => SplitColumn == null ? 0 : _splits[click];

    private void ReadFile(DuckDb duck, SourceFile file, CancellationToken cancel)
    {
        string userColumn = _options.UserColumn, itemColumn = _options.ItemColumn;
        var expressions = new List<string> { SqlText.Id(file.Column(userColumn)), SqlText.Id(file.Column(itemColumn)) };
        int splitAt = expressions.Count;
        expressions.AddRange(SplitColumn == null ? [] : [SqlText.Text(file.Column(SplitColumn))]);
        int timeAt = expressions.Count;
        expressions.AddRange(TimestampColumn == null ? [] : _timestamps.Expressions(duck, file, file.Column(TimestampColumn)));
        long rowInFile = 0;
        file.Read(
            duck,
            expressions,
            rows =>
            {
                AddIds(file, rowInFile, rows, 0, userColumn, "user", _userIds, _users);
                AddIds(file, rowInFile, rows, 1, itemColumn, "item", _itemIds, _items);
                if (SplitColumn != null)
                {
                    AddSplits(file, rowInFile, rows, splitAt);
                }

                if (TimestampColumn != null)
                {
                    AddTimes(file, rowInFile, rows, timeAt);
                }

                rowInFile += rows.Count;
            },
            cancel);
    }

    private static void AddIds(
        SourceFile file, long first, DuckDbRows rows, int at, string column, string what, Utf8Dictionary ids, PagedList<int> into)
    {
        TextVector texts = rows.Text(at);
        for (int row = 0; row < rows.Count; row++)
        {
            if (texts.IsNull(row) || texts[row].IsEmpty)
            {
                throw file.Error(first + row, column, $"the {what}'s id is missing");
            }

            into.Add(ids.Add(texts[row]));
        }
    }

    private void AddSplits(SourceFile file, long first, DuckDbRows rows, int at)
    {
        TextVector texts = rows.Text(at);
        for (int row = 0; row < rows.Count; row++)
        {
            if (texts.IsNull(row) || texts[row].IsEmpty)
            {
                throw file.Error(first + row, SplitColumn, "the split is missing");
            }

            int split = _splitNames.Add(texts[row]);
            if (split > ushort.MaxValue)
            {
                throw file.Error(first + row, SplitColumn, "more than 65,536 different splits: is this the right column?");
            }

            _splits.Add((ushort)split);
        }
    }

    private void AddTimes(SourceFile file, long first, DuckDbRows rows, int at)
    {
        TextVector texts = rows.Text(at);
        LongVector dates = rows.Long(at + 1);
        for (int row = 0; row < rows.Count; row++)
        {
            _times.Add(_timestamps.Read(file, first + row, TimestampColumn!, texts, dates, row));
        }
    }
}
