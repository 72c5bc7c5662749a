using System.Text;

namespace Twintail.Data.Ingest;

/// <summary>What has to be known of a text file besides what DuckDB tells: its header, and the line on which a row starts.</summary>
internal static class CsvLines
{
    private const int MostHeaderBytes = 1 << 20;

    /// <summary>Reads the header and finds the delimiter: a tab where there is one, else a comma, else a semicolon.</summary>
    /// <exception cref="DatasetException">There is no header, or a name repeats.</exception>
    public static (char Delimiter, List<string> Names) ReadHeader(Stream text, string path)
    {
        string header = FirstRecord(text, path);
        if (header.Trim().Length == 0)
        {
            throw new DatasetException("the file is empty: the first line should name the columns", path);
        }

        char delimiter = new[] { '\t', ',', ';' }.FirstOrDefault(c => Split(header, c).Count > 1, ',');
        List<string> names = Split(header, delimiter);
        string? repeated = names.GroupBy(name => name).FirstOrDefault(group => group.Key.Length > 0 && group.Count() > 1)?.Key;
        return repeated == null ? (delimiter, names) : throw new DatasetException("the header names this column twice", path, line: 1, column: repeated);
    }

    /// <summary>The line (from 1) on which data row <paramref name="row"/> (from 0) starts; blank lines are no rows.</summary>
    public static long LineOfRow(Stream text, long row)
    {
        using Stream stream = text;
        var buffer = new byte[1 << 16];
        long line = 1, start = 1, record = -1;
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

                if (!blank && record++ == row)
                {
                    return start;
                }

                start = line;
                blank = true;
            }
        }

        return start;
    }

    private static string FirstRecord(Stream text, string path)
    {
        var bytes = new List<byte>();
        var buffer = new byte[1 << 12];
        bool quoted = false;
        for (int read; (read = text.Read(buffer)) > 0;)
        {
            foreach (byte c in buffer.AsSpan(0, read))
            {
                quoted ^= c == '"';
                if (c == '\n' && !quoted)
                {
                    return Decode(bytes);
                }

                bytes.Add(c);
            }

            if (bytes.Count > MostHeaderBytes)
            {
                throw new DatasetException("the first line is too long to be a header; is this a text file?", path, line: 1);
            }
        }

        return Decode(bytes);
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
