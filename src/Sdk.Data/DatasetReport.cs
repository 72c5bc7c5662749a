using Twintail.Features;

namespace Twintail.Data;

/// <summary>How a column is used as a feature.</summary>
public enum ColumnKind
{
    /// <summary>One value a row.</summary>
    Categorical,

    /// <summary>Any number of values a row.</summary>
    MultiValued,

    /// <summary>A number, cut into quantile buckets.</summary>
    Numeric,
}

/// <summary>What became of a column.</summary>
/// <param name="Table">"items" or "users".</param>
/// <param name="Name">The column.</param>
/// <param name="Kind">How it is used.</param>
/// <param name="Values">Number of different values, or of buckets.</param>
/// <param name="Missing">Share of the rows without a value.</param>
public sealed record ColumnReport(string Table, string Name, ColumnKind Kind, int Values, double Missing);

/// <summary>What was read, and what was odd about it.</summary>
public sealed record DatasetReport
{
    /// <summary>Rows of the item table, those without catalogue entry included.</summary>
    public int Items { get; init; }

    /// <summary>Rows of the user table.</summary>
    public int Users { get; init; }

    /// <summary>Clicks by split.</summary>
    public IReadOnlyDictionary<string, int> Clicks { get; init; } = new Dictionary<string, int>();

    /// <summary>Items that were clicked but are not in the catalogue; they are kept with no feature but their id.</summary>
    public int AbsentItems { get; init; }

    /// <summary>Clicks on such items.</summary>
    public long AbsentItemClicks { get; init; }

    /// <summary>Some of their ids.</summary>
    public IReadOnlyList<string> AbsentItemExamples { get; init; } = [];

    /// <summary>Users with clicks that the users' file lacks; they are kept without its features. 0 without such a file.</summary>
    public int AbsentUsers { get; init; }

    /// <summary>Some of their ids.</summary>
    public IReadOnlyList<string> AbsentUserExamples { get; init; } = [];

    /// <summary>Rows of the catalogue that repeat an item and were left out.</summary>
    public int DuplicateItems { get; init; }

    /// <summary>Rows of the users' file that repeat a user and were left out.</summary>
    public int DuplicateUsers { get; init; }

    /// <summary>The features.</summary>
    public IReadOnlyList<ColumnReport> Columns { get; init; } = [];

    /// <summary>How the validation clicks were chosen: the split column's name in quotes, or the policy.</summary>
    public string Split { get; init; } = "";

    /// <summary>Seconds it took.</summary>
    public double Seconds { get; init; }

    /// <summary>Sentences for the person who reads the files: what was odd and what was done about it.</summary>
    public IEnumerable<string> Notes()
    {
        if (AbsentItems > 0)
        {
            yield return $"{AbsentItems} clicked items ({AbsentItemClicks} clicks) are not in the catalogue and are kept with their id alone: "
                + Examples(AbsentItemExamples, AbsentItems);
        }

        if (AbsentUsers > 0)
        {
            yield return $"{AbsentUsers} of {Users} users are not in the users' file and are kept without features: "
                + Examples(AbsentUserExamples, AbsentUsers);
        }

        if (DuplicateItems > 0)
        {
            yield return $"{DuplicateItems} rows of the catalogue repeat an item and were left out";
        }

        if (DuplicateUsers > 0)
        {
            yield return $"{DuplicateUsers} rows of the users' file repeat a user and were left out";
        }

        foreach (ColumnReport column in Columns.Where(IsIdentifier))
        {
            yield return $"column '{column.Name}' has a value of its own in nearly every row, like an id: it says nothing of new {column.Table}; "
                + "ignore it unless it is there to be shown";
        }
    }

    // Names, titles, URLs.
    private bool IsIdentifier(ColumnReport column)
    {
        const int FewRows = 50;
        const double NearlyAll = 0.9;
        double rows = (column.Table == "items" ? Items : Users) * (1 - column.Missing);
        return column.Kind == ColumnKind.Categorical && rows >= FewRows && column.Values >= NearlyAll * rows;
    }

    private static string Examples(IReadOnlyList<string> some, int all) => string.Join(", ", some) + (all > some.Count ? ", ..." : "");
}

/// <summary>A data set and what was found while reading it.</summary>
/// <param name="Dataset">Catalogue, users and clicks by split.</param>
/// <param name="Report">What was read.</param>
public sealed record LoadedDataset(Dataset Dataset, DatasetReport Report);
