using System.Buffers.Text;
using System.Globalization;
using Twintail.Data.Duck;

namespace Twintail.Data.Ingest;

/// <summary>
/// Reads times. Whole numbers stay in their unit; numbers with a fraction, dates and ISO 8601 times become microseconds (dates and times
/// since 1970, UTC where no zone is named). The first value decides which of them the column holds, in all files.
/// </summary>
internal sealed class Timestamps
{
    private enum Kind
    {
        Unknown,
        Whole,
        Fraction,
        Date,
    }

    private Kind _kind;

    /// <summary>The expressions to select: the raw text, and the time in microseconds or null.</summary>
    public IReadOnlyList<string> Expressions(DuckDb duck, SourceFile file, SourceColumn column)
    {
        string name = column.Sql;
        if (_kind == Kind.Unknown)
        {
            file.Read(
                duck,
                [SqlText.Text(column)],
                rows => _kind = _kind == Kind.Unknown ? FirstKind(rows) : _kind,
                CancellationToken.None,
                $"WHERE {name} IS NOT NULL LIMIT 1");
        }

        string date = _kind == Kind.Date ? $"epoch_us(TRY_CAST({name} AS TIMESTAMPTZ))" : "CAST(NULL AS BIGINT)";
        return [SqlText.Text(column), date];
    }

    /// <summary>The time of a row.</summary>
    /// <exception cref="DatasetException">It is missing or of another kind than the first.</exception>
    public long Read(SourceFile file, long rowInFile, string column, TextVector text, LongVector dates, int row)
    {
        if (text.IsNull(row) || text[row].IsEmpty)
        {
            throw file.Error(rowInFile, column, "the time is missing");
        }

        if (_kind == Kind.Date && !dates.IsNull(row))
        {
            return dates[row];
        }

        if (_kind == Kind.Whole && IsWhole(text[row], out long whole))
        {
            return whole;
        }

        if (_kind == Kind.Fraction && ColumnTyping.TryParse(text[row], out double number) && Math.Abs(number) < 9e12)
        {
            return (long)Math.Round(number * 1e6);
        }

        string expected = _kind switch
        {
            Kind.Date => "a date or time",
            Kind.Whole => "a whole number as in the first row",
            _ => "a number, a date or a time",
        };
        throw file.Error(rowInFile, column, $"expected {expected}, got '{System.Text.Encoding.UTF8.GetString(text[row])}'");
    }

    private static Kind FirstKind(DuckDbRows rows)
    {
        TextVector vector = rows.Text(0);
        ReadOnlySpan<byte> text = vector.IsNull(0) ? [] : vector[0];
        bool number = double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out _);
        return IsWhole(text, out _) ? Kind.Whole : number ? Kind.Fraction : Kind.Date;
    }

    private static bool IsWhole(ReadOnlySpan<byte> text, out long value) =>
        Utf8Parser.TryParse(text, out value, out int used) && used == text.Length;
}
