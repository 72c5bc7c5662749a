using System.Globalization;
using System.Text;

namespace Twintail.Data;

/// <summary>
/// A file of clicks, items or users cannot be used as it is. The message is one line that names the file and, where they are known,
/// the row, the line and the column.
/// </summary>
public sealed class DatasetException : TwintailException
{
    /// <summary>Creates the error.</summary>
    /// <param name="problem">What is wrong, without the place.</param>
    /// <param name="file">Path of the file, or the pattern that was given.</param>
    /// <param name="row">Number of the data row, counted from 1 after the header (in Parquet from 1).</param>
    /// <param name="line">Line of a text file, counted from 1 with the header; differs from the row where values span lines.</param>
    /// <param name="column">Name of the column.</param>
    /// <param name="inner">What caused it.</param>
    public DatasetException(
        string problem, string? file = null, long? row = null, long? line = null, string? column = null, Exception? inner = null)
        : base(Compose(problem, file, row, line, column), inner)
    {
        Problem = problem;
        File = file;
        Row = row;
        Line = line;
        Column = column;
    }

    /// <summary>What is wrong, without the place.</summary>
    public string Problem { get; }

    /// <summary>Path of the file, or null.</summary>
    public string? File { get; }

    /// <summary>Data row, counted from 1 after the header, or null.</summary>
    public long? Row { get; }

    /// <summary>Line of a text file, counted from 1, or null.</summary>
    public long? Line { get; }

    /// <summary>Column, or null.</summary>
    public string? Column { get; }

    private static string Compose(string problem, string? file, long? row, long? line, string? column)
    {
        var text = new StringBuilder();
        Add(text, file);
        Add(text, row is { } r ? "row " + r.ToString(CultureInfo.InvariantCulture) : null);
        Add(text, line is { } l ? "line " + l.ToString(CultureInfo.InvariantCulture) : null);
        Add(text, column is { } c ? $"column '{c}'" : null);
        return text.Length == 0 ? problem : text.Append(": ").Append(problem).ToString();
    }

    private static void Add(StringBuilder text, string? part)
    {
        if (part != null)
        {
            text.Append(text.Length == 0 ? "" : ", ").Append(part);
        }
    }
}
