using System.IO.Compression;
using Twintail.Data.Duck;

namespace Twintail.Data.Ingest;

/// <summary>A column of a file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">DuckDB's type; VARCHAR for every column of a text file.</param>
/// <param name="Sql">What queries call it.</param>
internal sealed record SourceColumn(string Name, string Type, string Sql)
{
    public bool IsList => Type.EndsWith("[]", StringComparison.Ordinal);

    public bool IsText => Type == "VARCHAR";
}

/// <summary>One input file: what it is, which columns it has, and how DuckDB is to read it.</summary>
internal sealed class SourceFile
{
    // Null in a Parquet file.
    private readonly CsvHeader? _header;
    private readonly bool _gzip;

    private SourceFile(string path, CsvHeader? header, bool gzip, IReadOnlyList<SourceColumn> columns)
    {
        Path = path;
        _header = header;
        _gzip = gzip;
        Columns = columns;
    }

    public string Path { get; }

    /// <summary>The named columns. Columns without a name (an index that a tool left there) are read over.</summary>
    public IReadOnlyList<SourceColumn> Columns { get; }

    /// <summary>The column of that name.</summary>
    /// <exception cref="DatasetException">There is none; the nearest names are suggested.</exception>
    public SourceColumn Column(string name) => Find(name)
        ?? throw new DatasetException(
            NameSuggestions.MissingColumn(name, Columns.Where(c => c.Name.Length > 0).Select(c => c.Name).ToArray()), Path, column: name);

    public SourceColumn? Find(string name) => name.Length == 0 ? null : Columns.FirstOrDefault(c => c.Name == name);

    /// <summary>Looks at each file that the path or glob names.</summary>
    /// <exception cref="DatasetException">No file, an unreadable, empty or damaged one.</exception>
    public static IReadOnlyList<SourceFile> OpenAll(DuckDb duck, string pattern, CancellationToken cancel)
    {
        var files = new List<SourceFile>();
        foreach (string path in Expand(duck, pattern))
        {
            files.Add(Open(duck, path, cancel));
        }

        return files;
    }

    /// <summary>Runs a query over the file's rows, in their order.</summary>
    /// <param name="duck">The database.</param>
    /// <param name="expressions">SQL expressions over the columns.</param>
    /// <param name="take">Called for every chunk.</param>
    /// <param name="cancel">Stops between chunks.</param>
    /// <param name="clause">What follows in the query: WHERE, LIMIT.</param>
    public void Read(DuckDb duck, IEnumerable<string> expressions, Action<DuckDbRows> take, CancellationToken cancel, string clause = "")
    {
        try
        {
            using DuckDbRows rows = duck.Query($"SELECT {string.Join(", ", expressions)} FROM {Relation()} {clause}");
            while (rows.Next())
            {
                cancel.ThrowIfCancellationRequested();
                take(rows);
            }
        }
        catch (DuckDbException error)
        {
            throw Translate(error);
        }
    }

    /// <summary>An error at a data row (counted from 0), with the line if it is a text file.</summary>
    public DatasetException Error(long row, string? column, string problem) =>
        new(problem, Path, row + 1, _header == null ? null : CsvLines.LineOfRow(OpenText(Path, _gzip), row, _header), column);

    private static IReadOnlyList<string> Expand(DuckDb duck, string pattern)
    {
        if (File.Exists(pattern))
        {
            return [pattern];
        }

        if (Directory.Exists(pattern))
        {
            throw new DatasetException("this is a folder; name a file or a glob such as " + System.IO.Path.Combine(pattern, "*.csv"), pattern);
        }

        if (pattern.AsSpan().IndexOfAny('*', '?', '[') < 0)
        {
            throw new DatasetException(NameSuggestions.MissingFile(pattern), pattern);
        }

        List<string> found;
        try
        {
            found = duck.Texts($"SELECT file FROM glob({DuckDb.Quote(pattern)})").Select(row => row[0]!).ToList();
        }
        catch (DuckDbException error)
        {
            throw new DatasetException("the glob cannot be read: " + DuckErrors.FirstLine(error.Message), pattern, inner: error);
        }

        found.Sort(StringComparer.Ordinal);
        return found.Count > 0 ? found : throw new DatasetException("no file matches the glob", pattern);
    }

    private static SourceFile Open(DuckDb duck, string path, CancellationToken cancel)
    {
        try
        {
            var start = new byte[4];
            using (FileStream file = File.OpenRead(path))
            {
                if (!file.CanSeek)
                {
                    throw new DatasetException("this is a pipe, and the file has to be read more than once; write it to disk first", path);
                }

                if (file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false) == 0)
                {
                    throw new DatasetException("the file is empty", path);
                }
            }

            if (start.AsSpan().SequenceEqual("PAR1"u8))
            {
                return new SourceFile(path, header: null, gzip: false, ParquetColumns(duck, path));
            }

            if (start.AsSpan().SequenceEqual((ReadOnlySpan<byte>)[0x28, 0xB5, 0x2F, 0xFD]))
            {
                throw new DatasetException("zstd-compressed text is not read; use gzip or Parquet", path);
            }

            bool gzip = Gzip.IsGzip(start);
            if (gzip)
            {
                Gzip.Check(path, cancel);
            }
            else if (path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase))
            {
                throw new DatasetException("the name ends in .gz but this is no gzip file", path);
            }
            else if (path.EndsWith(".parquet", StringComparison.OrdinalIgnoreCase))
            {
                throw new DatasetException("the name ends in .parquet but this is no Parquet file", path);
            }

            using Stream text = OpenText(path, gzip);
            CsvHeader header = CsvLines.ReadHeader(text, path);
            // Queries call columns by their place: DuckDB takes names that differ only in case for the same.
            return new SourceFile(path, header, gzip, header.Names.Select((name, i) => new SourceColumn(name, "VARCHAR", $"c{i}")).ToArray());
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new DatasetException("the file cannot be read: " + error.Message.TrimEnd('.'), path, inner: error);
        }
    }

    private static SourceColumn[] ParquetColumns(DuckDb duck, string path)
    {
        try
        {
            return duck.Texts($"SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM {ParquetRelation(path)})")
                .Select(row => new SourceColumn(row[0]!, row[1]!, DuckDb.Name(row[0]!))).ToArray();
        }
        catch (DuckDbException error)
        {
            throw DuckErrors.Translate(error, path);
        }
    }

    private static Stream OpenText(string path, bool gzip)
    {
        FileStream file = File.OpenRead(path);
        return gzip ? new GZipStream(file, CompressionMode.Decompress) : file;
    }

    // Without the option DuckDB makes columns of folders named like brand=x, over those that the file has.
    private static string ParquetRelation(string path) => $"read_parquet({DuckDb.QuotePath(path)}, hive_partitioning=false)";

    private string Relation()
    {
        if (_header == null)
        {
            return ParquetRelation(Path);
        }

        // Nothing is guessed: names, types, quoting and line ends are given, so the result cannot depend on a sample.
        string columns = string.Join(", ", Columns.Select(column => $"{column.Sql}: 'VARCHAR'"));
        return $"read_csv({DuckDb.QuotePath(Path)}, auto_detect=false, header=true, skip={_header.BlankLines}, "
            + $"delim={DuckDb.Quote(_header.Delimiter.ToString())}, quote='\"', escape='\"', new_line='{(_header.CarriageReturns ? @"\r\n" : @"\n")}', "
            + $"nullstr='', compression='{(_gzip ? "gzip" : "none")}', hive_partitioning=false, columns={{{columns}}})";
    }

    // DuckDB tells of line ends that change as of anything else that it cannot parse.
    private DatasetException Translate(DuckDbException error)
    {
        DatasetException translated = DuckErrors.Translate(error, Path);
        return _header != null && DuckErrors.MayBeLineEnds(error)
            && CsvLines.ChangedLineEnd(OpenText(Path, _gzip)) is var (line, problem) && line <= (translated.Line ?? long.MaxValue)
            ? new DatasetException(problem, Path, line: line, inner: error)
            : translated;
    }
}
