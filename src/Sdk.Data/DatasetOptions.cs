namespace Twintail.Data;

/// <summary>Which files to read and how. Paths may be globs (<c>logs/*.csv.gz</c>, <c>**</c> for any depth).</summary>
public sealed record DatasetOptions
{
    /// <summary>Clicks: CSV, TSV or Parquet, plain or gzip.</summary>
    public string? Interactions { get; init; }

    /// <summary>The catalogue, same formats; without it the items are those that were clicked, with no feature but their id.</summary>
    public string? Items { get; init; }

    /// <summary>Features of the users, same formats; optional.</summary>
    public string? Users { get; init; }

    /// <summary>Name of the column with the user's id.</summary>
    public string UserColumn { get; init; } = "user_id";

    /// <summary>Name of the column with the item's id.</summary>
    public string ItemColumn { get; init; } = "item_id";

    /// <summary>Name of the column with the click's time; null takes "timestamp" where it exists.</summary>
    public string? TimestampColumn { get; init; }

    /// <summary>Name of the column with the click's split; null takes "split" where it exists.</summary>
    public string? SplitColumn { get; init; }

    /// <summary>The item features to use; null takes every column but the id.</summary>
    public IReadOnlyList<string>? Features { get; init; }

    /// <summary>The user features to use; null takes every column but the id.</summary>
    public IReadOnlyList<string>? UserFeatures { get; init; }

    /// <summary>Columns of the items or users that are no features.</summary>
    public IReadOnlyList<string> Ignore { get; init; } = [];

    /// <summary>Columns that are numbers and bucketed, whatever they look like; a value that is no number is an error.</summary>
    public IReadOnlyList<string> Numeric { get; init; } = [];

    /// <summary>Columns that are categories although they look like numbers.</summary>
    public IReadOnlyList<string> Categorical { get; init; } = [];

    /// <summary>What joins the values of a multi-valued feature in a text column.</summary>
    public char ListSeparator { get; init; } = '|';

    /// <summary>Number of quantile buckets of a numeric column (fewer where values repeat).</summary>
    public int Buckets { get; init; } = 16;

    /// <summary>Values that occur in fewer rows are treated as missing.</summary>
    public int MinValueCount { get; init; } = 1;

    /// <summary>Keep the first row of an item or user that occurs twice, instead of refusing the file.</summary>
    public bool KeepFirstDuplicate { get; init; }

    /// <summary>How the validation clicks are chosen where no column says it; null means last-item without a split column, none with one.</summary>
    public ValidationPolicy? Validation { get; init; }

    /// <summary>Threads of the file reader; 0 takes all cores. The result does not depend on it.</summary>
    public int Threads { get; init; }
}
