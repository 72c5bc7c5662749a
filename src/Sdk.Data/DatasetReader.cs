using System.Diagnostics;
using System.Text;
using Twintail.Data.Duck;
using Twintail.Data.Ingest;
using Twintail.Features;

namespace Twintail.Data;

/// <summary>Clicks read against the rows of a catalogue.</summary>
/// <param name="Splits">Clicks by split.</param>
/// <param name="UnknownUserClicks">Clicks left out, since the catalogue lacks the user.</param>
/// <param name="UnknownItemClicks">Clicks left out, since the catalogue lacks the item.</param>
public sealed record LoadedInteractions(IReadOnlyDictionary<string, Interactions> Splits, long UnknownUserClicks, long UnknownItemClicks);

/// <summary>A catalogue read on its own.</summary>
/// <param name="Items">The items.</param>
/// <param name="Columns">What became of its columns.</param>
public sealed record LoadedItems(FeatureTable Items, IReadOnlyList<ColumnReport> Columns);

/// <summary>
/// Reads clicks, items and users from CSV, TSV or Parquet through DuckDB. The result depends on the files alone: items and users have the
/// order of their files, then of their first click; value ids fall with the number of rows that have the value.
/// </summary>
public static class DatasetReader
{
    private const int Examples = 3;

    /// <summary>DuckDB's version.</summary>
    public static string EngineVersion => DuckDb.Version;

    /// <summary>Reads a data set for training.</summary>
    /// <exception cref="DatasetException">A file is missing, empty, damaged, or does not hold what it should.</exception>
    /// <exception cref="BadArgumentException">An option is out of range, or there are no interactions to read.</exception>
    public static LoadedDataset Read(DatasetOptions options, CancellationToken cancel = default)
    {
        Check(options);
        string clicksFile = options.Interactions ?? throw new BadArgumentException("interactions", "a file", "none");
        var watch = Stopwatch.StartNew();
        using var duck = new DuckDb(options.Threads);
        var items = new TableReader(options, "item");
        var users = new TableReader(options, "user");
        if (options.Items != null)
        {
            items.Read(duck, options.Items, options.ItemColumn, options.Features, cancel);
        }

        if (options.Users != null)
        {
            users.Read(duck, options.Users, options.UserColumn, options.UserFeatures, cancel);
        }

        CheckColumns(options, items, users);
        int described = items.Ids.Count, describedUsers = users.Ids.Count;
        var clicks = new ClickReader(options, users.Ids, items.Ids);
        clicks.Read(duck, clicksFile, cancel);
        Dictionary<string, Interactions> splits = clicks.BySplit(int.MaxValue, int.MaxValue);
        string split = Validate(options, clicks, splits, users.Ids.Count, clicksFile);
        var dataset = new Dataset(items.Build("items"), users.Build("users"), splits);
        bool catalogue = options.Items != null, userFile = options.Users != null;
        return new LoadedDataset(dataset, new DatasetReport
        {
            Items = dataset.Items.Rows,
            Users = dataset.Users.Rows,
            Clicks = splits.ToDictionary(entry => entry.Key, entry => entry.Value.Count),
            AbsentItems = catalogue ? items.Ids.Count - described : 0,
            AbsentItemClicks = catalogue ? clicks.CountItemsFrom(described) : 0,
            AbsentItemExamples = catalogue ? dataset.Items.Ids.Skip(described).Take(Examples).ToArray() : [],
            AbsentUsers = userFile ? users.Ids.Count - describedUsers : 0,
            AbsentUserExamples = userFile ? dataset.Users.Ids.Skip(describedUsers).Take(Examples).ToArray() : [],
            DuplicateItems = items.Duplicates,
            DuplicateUsers = users.Duplicates,
            Columns = [.. items.Reports, .. users.Reports],
            Split = split,
            Seconds = watch.Elapsed.TotalSeconds,
        });
    }

    /// <summary>Reads a catalogue alone.</summary>
    /// <exception cref="DatasetException">The file is missing, empty, damaged, or does not hold what it should.</exception>
    /// <exception cref="BadArgumentException">An option is out of range, or no items are named.</exception>
    public static LoadedItems ReadItems(DatasetOptions options, CancellationToken cancel = default)
    {
        Check(options);
        string file = options.Items ?? throw new BadArgumentException("items", "a file", "none");
        using var duck = new DuckDb(options.Threads);
        var items = new TableReader(options, "item");
        items.Read(duck, file, options.ItemColumn, options.Features, cancel);
        CheckColumns(options, items, new TableReader(options, "user"));
        return new LoadedItems(items.Build("items"), items.Reports);
    }

    /// <summary>Reads clicks for the evaluation of a stored model, in the rows of its catalogue.</summary>
    /// <exception cref="DatasetException">The file is missing, empty, damaged, or does not hold what it should.</exception>
    /// <exception cref="BadArgumentException">An option is out of range, or there are no interactions to read.</exception>
    public static LoadedInteractions ReadInteractions(DatasetOptions options, Catalogue catalogue, CancellationToken cancel = default)
    {
        ArgumentNullException.ThrowIfNull(catalogue);
        Check(options);
        string file = options.Interactions ?? throw new BadArgumentException("interactions", "a file", "none");
        using var duck = new DuckDb(options.Threads);
        Utf8Dictionary users = Numbered(catalogue.Users.Ids), items = Numbered(catalogue.Items.Ids);
        var clicks = new ClickReader(options, users, items);
        clicks.Read(duck, file, cancel);
        Dictionary<string, Interactions> all = clicks.BySplit(int.MaxValue, int.MaxValue);
        // Validation clicks must be those of the training, so they are chosen before clicks of unknown ids are left out.
        Validate(options, clicks, all, users.Count, file);
        long unknownUsers = 0, unknownItems = 0;
        var known = new Dictionary<string, Interactions>(StringComparer.Ordinal);
        foreach ((string name, Interactions split) in all)
        {
            known[name] = Known(split, catalogue.Users.Rows, catalogue.Items.Rows, ref unknownUsers, ref unknownItems);
        }

        return new LoadedInteractions(known, unknownUsers, unknownItems);
    }

    private static string Validate(
        DatasetOptions options, ClickReader clicks, Dictionary<string, Interactions> splits, int users, string file)
    {
        ValidationPolicy policy = options.Validation ?? (clicks.SplitColumn == null ? ValidationPolicy.LastItem : ValidationPolicy.None);
        string column = clicks.SplitColumn == null ? "" : $"column '{clicks.SplitColumn}'";
        if (policy.Kind == ValidationKind.None || splits.ContainsKey(Dataset.Valid)
            || !splits.TryGetValue(Dataset.Train, out Interactions? train))
        {
            return column.Length > 0 ? column : policy.ToString();
        }

        (splits[Dataset.Train], splits[Dataset.Valid]) = ValidationSplit.Apply(policy, train, users, file);
        return column.Length > 0 ? $"{column}, {policy}" : policy.ToString();
    }

    private static Interactions Known(Interactions split, int users, int items, ref long unknownUsers, ref long unknownItems)
    {
        var keep = new List<int>(split.Count);
        for (int i = 0; i < split.Count; i++)
        {
            unknownUsers += split.Users[i] >= users ? 1 : 0;
            unknownItems += split.Users[i] < users && split.Items[i] >= items ? 1 : 0;
            if (split.Users[i] < users && split.Items[i] < items)
            {
                keep.Add(i);
            }
        }

        return new Interactions(
            keep.Select(i => split.Users[i]).ToArray(),
            keep.Select(i => split.Items[i]).ToArray(),
            split.Timestamps == null ? null : keep.Select(i => split.Timestamps[i]).ToArray());
    }

    private static Utf8Dictionary Numbered(string[] ids)
    {
        var numbers = new Utf8Dictionary();
        foreach (string id in ids)
        {
            numbers.Add(Encoding.UTF8.GetBytes(id));
        }

        return numbers;
    }

    private static void Check(DatasetOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        if (options.Buckets is < 2 or > 65536)
        {
            throw new BadArgumentException("buckets", "a number in [2, 65536]", $"{options.Buckets}");
        }

        if (options.MinValueCount < 1)
        {
            throw new BadArgumentException("min_value_count", "at least 1", $"{options.MinValueCount}");
        }

        if (options.Threads < 0)
        {
            throw new BadArgumentException("threads", "at least 0", $"{options.Threads}");
        }

        if (options.ListSeparator is > '\x7F' or '"')
        {
            throw new BadArgumentException("list_separator", "an ASCII character other than the quote", $"'{options.ListSeparator}'");
        }
    }

    // A misspelt name in --ignore or --numeric would otherwise do nothing, in silence.
    private static void CheckColumns(DatasetOptions options, TableReader items, TableReader users)
    {
        string[] all = [.. items.ColumnNames, .. users.ColumnNames];
        foreach (string name in options.Ignore.Concat(options.Numeric).Concat(options.Categorical))
        {
            if (!all.Contains(name))
            {
                throw new DatasetException(NameSuggestions.MissingColumn(name, all), options.Items ?? options.Users, column: name);
            }
        }
    }
}
