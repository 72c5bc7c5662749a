using System.Text;

namespace Twintail.Data.Ingest;

/// <summary>The header of a text file.</summary>
/// <param name="Delimiter">What stands between values.</param>
/// <param name="Names">The columns' names; "" for a column without one.</param>
/// <param name="BlankLines">Lines above it.</param>
/// <param name="CarriageReturns">Whether its line ends in CRLF.</param>
internal sealed record CsvHeader(char Delimiter, IReadOnlyList<string> Names, int BlankLines, bool CarriageReturns);

/// <summary>What has to be known of a text file besides what DuckDB tells: its header, and the line on which a row starts.</summary>
internal static class CsvLines
{
    private const int MostHeaderBytes = 1 << 20;

    /// <summary>Reads the header and finds the delimiter: a tab where there is one, else a comma, else a semicolon.</summary>
    /// <exception cref="DatasetException">There is no header, or a name repeats.</exception>
    public static CsvHeader ReadHeader(Stream text, string path)
    {
        using var buffered = new BufferedStream(text);
        int line = 1;
        string? blankEnd = null;
        (string header, string end) = NextRecord(buffered, path, line);
        for (; header.Trim(' ').Length == 0; line++)
        {
            if (end.Length == 0)
            {
                throw new DatasetException("the file is empty: the first line should name the columns", path);
            }

            blankEnd = blankEnd == null || blankEnd == end ? end : throw new DatasetException(Changed(end, blankEnd), path, line: line);
            (header, end) = NextRecord(buffered, path, line + 1);
        }

        // DuckDB would skip other lines than these, and lose rows without an error.
        if (blankEnd != null && end.Length > 0 && end != blankEnd)
        {
            throw new DatasetException(Changed(end, blankEnd), path, line: line);
        }

        char delimiter = new[] { '\t', ',', ';' }.FirstOrDefault(c => Split(header, c).Count > 1, ',');
        List<string> names = Split(header, delimiter);
        if (names.TrueForAll(name => name.Length == 0))
        {
            throw new DatasetException("the line should name the columns, but it has no name", path, line: line);
        }

        string? repeated = names.GroupBy(name => name).FirstOrDefault(group => group.Key.Length > 0 && group.Count() > 1)?.Key;
        return repeated == null
            ? new CsvHeader(delimiter, names, line - 1, end == "CRLF")
            : throw new DatasetException("the header names this column twice", path, line: line, column: repeated);
    }

    /// <summary>The first line that ends otherwise than the first, and what is wrong with it; null if there is none. Line ends in quotes are text.</summary>
    public static (long Line, string Problem)? ChangedLineEnd(Stream text)
    {
        using Stream stream = text;
        var buffer = new byte[1 << 16];
        long line = 1;
        bool quoted = false, carriage = false;
        string? first = null;
        for (int read; (read = stream.Read(buffer)) > 0;)
        {
            foreach (byte c in buffer.AsSpan(0, read))
            {
                string? end = c == '\n' && !quoted ? (carriage ? "CRLF" : "LF") : c != '\n' && carriage ? "CR" : null;
                first ??= end;
                if (end != null && end != first)
                {
                    return (line, Changed(end, first!));
                }

                line += c == '\n' ? 1 : 0;
                quoted ^= c == '"';
                carriage = c == '\r' && !quoted;
            }
        }

        return null;
    }

    /// <summary>The line (from 1) on which data row <paramref name="row"/> (from 0) starts; blank lines are no rows, but where there is one column.</summary>
    /// <param name="text">The file's text.</param>
    /// <param name="row">The row.</param>
    /// <param name="header">The file's header; the lines above it may hold blanks or a byte-order mark.</param>
    public static long LineOfRow(Stream text, long row, CsvHeader header)
    {
        using Stream stream = text;
        var buffer = new byte[1 << 16];
        long line = 1, start = 1, record = -1;
        bool blanksAreRows = header.Names.Count == 1; // a missing value to DuckDB
        bool quoted = false, blank = true;
        for (int read; (read = stream.Read(buffer)) > 0;)
        {
            for (int i = 0; i < read; i++)
            {
                byte c = buffer[i];
                if (c != '\n')
                {
                    quoted ^= c == '"';
                    blank &= c == '\r';
                    continue;
                }

                line++;
                if (quoted)
                {
                    continue;
                }

                if ((!blank || blanksAreRows) && line - 1 > header.BlankLines && record++ == row)
                {
                    return start;
                }

                start = line;
                blank = true;
            }
        }

        return start;
    }

    private static string Changed(string end, string first) =>
        $"expected the line to end in {first} as the first one does, got {end}; give all lines the same end";

    // The text of a record, and its line end: LF, CRLF, or "" at the end of the file.
    private static (string Text, string End) NextRecord(Stream text, string path, int line)
    {
        var bytes = new List<byte>();
        bool quoted = false;
        int c;
        while ((c = text.ReadByte()) >= 0 && (c != '\n' || quoted))
        {
            quoted ^= c == '"';
            bytes.Add((byte)c);
            if (bytes.Count > MostHeaderBytes)
            {
                throw new DatasetException("the first line is too long to be a header; is this a text file?", path, line: line);
            }
        }

        string end = c < 0 ? "" : bytes.Count > 0 && bytes[^1] == '\r' ? "CRLF" : "LF";
        return (Decode(bytes), end);
    }

    private static string Decode(List<byte> bytes) => Encoding.UTF8.GetString([.. bytes]).TrimStart('\uFEFF').TrimEnd('\r');

    private static List<string> Split(string header, char delimiter)
    {
        var names = new List<string>();
        var name = new StringBuilder();
        bool quoted = false;
        for (int i = 0; i < header.Length; i++)
        {
            char c = header[i];
            if (c == '"')
            {
                if (quoted && i + 1 < header.Length && header[i + 1] == '"')
                {
                    name.Append(c);
                    i++;
                }
                else
                {
                    quoted = !quoted;
                }
            }
            else if (c == delimiter && !quoted)
            {
                names.Add(name.ToString().Trim());
                name.Clear();
            }
            else
            {
                name.Append(c);
            }
        }

        names.Add(name.ToString().Trim());
        return names;
    }
}
