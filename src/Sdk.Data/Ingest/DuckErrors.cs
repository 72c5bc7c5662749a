using System.Globalization;
using System.Text.RegularExpressions;
using Twintail.Data.Duck;

namespace Twintail.Data.Ingest;

/// <summary>Turns DuckDB's errors, which are a page long, into one line with the file and the place.</summary>
internal static partial class DuckErrors
{
    public static DatasetException Translate(DuckDbException error, string path)
    {
        string message = error.Message;
        Match csv = CsvError().Match(message);
        if (!csv.Success)
        {
            return new DatasetException("the file cannot be read: " + FirstLine(message), path, inner: error);
        }

        long line = long.Parse(csv.Groups[1].ValueSpan, CultureInfo.InvariantCulture);
        Match counts = ColumnCounts().Match(message);
        string problem = counts.Success
            ? $"expected {counts.Groups[1].Value} values as in the header, got {counts.Groups[2].Value}"
            : message.Contains("Maximum line size", StringComparison.Ordinal) ? "the line is too long; does a quoted value not end?"
            : message.Contains("unterminated quote", StringComparison.Ordinal) ? "a quoted value does not end"
            : message.Contains("unicode", StringComparison.Ordinal) ? "the text is not UTF-8"
            : FirstLine(message[(csv.Index + csv.Length)..].TrimStart());
        return new DatasetException(problem, path, line: line, inner: error);
    }

    /// <summary>Whether lines that end differently give this error.</summary>
    public static bool MayBeLineEnds(DuckDbException error) =>
        error.Message.Contains("state machine reached an invalid state", StringComparison.Ordinal)
        || error.Message.Contains("unterminated quote", StringComparison.Ordinal);

    public static string FirstLine(string message)
    {
        string line = message.Split('\n').Select(part => part.Trim()).FirstOrDefault(part => part.Length > 0) ?? "unknown reason";
        return line.TrimEnd('.');
    }

    [GeneratedRegex(@"CSV Error on Line: (\d+)")]
    private static partial Regex CsvError();

    [GeneratedRegex(@"Expected Number of Columns: (\d+) Found: (\d+)")]
    private static partial Regex ColumnCounts();
}
