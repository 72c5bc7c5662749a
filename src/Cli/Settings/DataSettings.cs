using System.Globalization;
using Twintail.Data;

namespace Twintail.Cli.Settings;

/// <summary>The settings that say what is read and how.</summary>
internal static class DataSettings
{
    public static readonly Setting Interactions = new("interactions", "Clicks: CSV, TSV or Parquet, plain or gzip; one file or a glob in quotes.", "FILE");

    public static readonly Setting Items = new("items", "The item catalogue, in the same formats. Every other column is a feature.", "FILE");

    public static readonly Setting Users = new("users", "Features of the users, in the same formats.", "FILE");

    /// <summary>Columns of the clicks.</summary>
    public static readonly Setting[] ClickColumns =
    [
        new("user-col", "Column with the user's id [user_id].", "NAME"),
        new("item-col", "Column with the item's id [item_id].", "NAME"),
        new("timestamp-col", "Column with the time [timestamp, where there is one].", "NAME"),
        new("split-col", "Column with the split: train, valid, test, ... [split, where there is one].", "NAME"),
        new("validation", "Validation clicks where no split column has them: last-item, time:SHARE or none [last-item; none with a split column].", "RULE"),
    ];

    /// <summary>How columns become features.</summary>
    public static readonly Setting[] Features =
    [
        new("features", "The item features to use, separated by commas [all columns].", "A,B"),
        new("user-features", "The user features to use, separated by commas [all columns].", "A,B"),
        new("ignore", "Columns that are no features.", "A,B"),
        new("numeric", "Columns that are numbers, to be bucketed; a text there is an error.", "A,B"),
        new("categorical", "Columns that are categories although they look like numbers.", "A,B"),
        new("list-separator", "What joins the values of a multi-valued feature [|].", "CHAR"),
        new("buckets", "Quantile buckets of a numeric column [16].", "N"),
        new("min-value-count", "Values in fewer rows are treated as missing [1].", "N"),
        new("duplicates", "What to do with an item or user that has two rows: error or first [error].", "RULE"),
    ];

    /// <summary>The name of the item's id, for commands that read only the catalogue.</summary>
    public static readonly Setting ItemColumn = ClickColumns[1];

    /// <summary>All of them.</summary>
    public static readonly Setting[] All = [Interactions, Items, Users, .. ClickColumns, .. Features];

    /// <summary>The reader's options.</summary>
    /// <exception cref="BadArgumentException">A value is of the wrong kind.</exception>
    public static DatasetOptions ToOptions(SettingValues values)
    {
        var defaults = new DatasetOptions();
        string separator = values.Get("list_separator") ?? "|";
        string duplicates = values.Get("duplicates") ?? "error";
        return new DatasetOptions
        {
            Interactions = values.Get("interactions"),
            Items = values.Get("items"),
            Users = values.Get("users"),
            UserColumn = values.Get("user_col") ?? defaults.UserColumn,
            ItemColumn = values.Get("item_col") ?? defaults.ItemColumn,
            TimestampColumn = values.Get("timestamp_col"),
            SplitColumn = values.Get("split_col"),
            Validation = values.Get("validation") is { } policy ? ValidationPolicy.Parse(policy) : null,
            Features = values.List("features"),
            UserFeatures = values.List("user_features"),
            Ignore = values.List("ignore") ?? [],
            Numeric = values.List("numeric") ?? [],
            Categorical = values.List("categorical") ?? [],
            ListSeparator = separator.Length == 1 ? separator[0] : throw new BadArgumentException("list-separator", "one character", $"'{separator}'"),
            Buckets = Integer(values, "buckets", defaults.Buckets),
            MinValueCount = Integer(values, "min_value_count", defaults.MinValueCount),
            KeepFirstDuplicate = duplicates switch
            {
                "error" => false,
                "first" => true,
                _ => throw new BadArgumentException("duplicates", "error or first", $"'{duplicates}'"),
            },
            Threads = Integer(values, "threads", 0),
        };
    }

    private static int Integer(SettingValues values, string key, int fallback)
    {
        string? text = values.Get(key);
        return text == null ? fallback
            : int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number
            : throw new BadArgumentException(key.Replace('_', '-'), "an integer", $"'{text}'");
    }
}
