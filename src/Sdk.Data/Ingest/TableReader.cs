using System.Text;
using Twintail.Data.Duck;
using Twintail.Features;

namespace Twintail.Data.Ingest;

/// <summary>Reads items or users with their features from one or several files.</summary>
internal sealed class TableReader
{
    private readonly DatasetOptions _options;
    private readonly string _what;
    private readonly List<(SourceFile File, int FirstRow)> _files = [];
    private readonly PagedList<long> _rowInFile = new();
    private List<TokenColumn> _columns = [];

    /// <summary>Creates an empty table.</summary>
    /// <param name="options">Column names, separators, kinds.</param>
    /// <param name="what">"item" or "user", for messages.</param>
    public TableReader(DatasetOptions options, string what)
    {
        _options = options;
        _what = what;
    }

    /// <summary>Ids in the order of the rows.</summary>
    public Utf8Dictionary Ids { get; } = new();

    /// <summary>Names of all columns of the first file.</summary>
    public IReadOnlyList<string> ColumnNames { get; private set; } = [];

    /// <summary>Repeated rows that were left out.</summary>
    public int Duplicates { get; private set; }

    /// <summary>Kinds of the features, after <see cref="Build"/>.</summary>
    public List<ColumnReport> Reports { get; } = [];

    /// <summary>Reads the files.</summary>
    /// <param name="duck">The database.</param>
    /// <param name="pattern">Path or glob.</param>
    /// <param name="idColumn">Column with the id.</param>
    /// <param name="features">The columns to take; null: all others that are not ignored.</param>
    /// <param name="cancel">Stops between chunks.</param>
    public void Read(DuckDb duck, string pattern, string idColumn, IReadOnlyList<string>? features, CancellationToken cancel)
    {
        foreach (SourceFile file in SourceFile.OpenAll(duck, pattern, cancel))
        {
            if (_files.Count == 0)
            {
                file.Column(idColumn);
                ColumnNames = file.Columns.Where(c => c.Name.Length > 0).Select(c => c.Name).ToArray();
                IEnumerable<string> names = features
                    ?? ColumnNames.Where(name => name != idColumn && !_options.Ignore.Contains(name));
                CheckNames(features ?? [], idColumn);
                _columns = names.Select(n => new TokenColumn(n, file.Column(n).IsList, _options.ListSeparator)).ToList();
            }

            ReadFile(duck, file, idColumn, cancel);
        }

        if (Ids.Count == 0)
        {
            throw new DatasetException("there is no row below the header", pattern);
        }
    }

    /// <summary>Gives every id a row; rows that the files did not have get no feature but their id.</summary>
    public FeatureTable Build(string table, IReadOnlyList<FeatureColumn>? vocabularies = null)
    {
        var ids = new string[Ids.Count];
        for (int row = 0; row < ids.Length; row++)
        {
            ids[row] = Ids.Text(row);
        }

        int described = _columns.Count == 0 ? ids.Length : _columns[0].Rows;
        var features = new List<FeatureColumn>();
        foreach (TokenColumn column in _columns)
        {
            for (int row = described; row < ids.Length; row++)
            {
                column.AddMissingRow();
            }

            FeatureColumn? known = vocabularies?.FirstOrDefault(c => c.Name == column.Name);
            ColumnKind kind = KindOf(known);
            FeatureColumn feature = known == null
                ? ColumnEncoder.Fit(column, _options, out kind, text => NotANumber(column, text))
                : ColumnEncoder.Encode(column, known, text => NotANumber(column, text));
            features.Add(feature);
            double missing = Enumerable.Range(0, ids.Length).Count(row => feature.ValuesOf(row) is var v && (v.Length == 0 || v[0] == 0));
            Reports.Add(new ColumnReport(table, column.Name, kind, feature.Vocabulary.Length - 1, missing / Math.Max(1, ids.Length)));
        }

        return new FeatureTable(ids, features);
    }

    private void CheckNames(IReadOnlyList<string> features, string idColumn)
    {
        string argument = _what == "user" ? "user_features" : "features";
        string? repeated = features.GroupBy(name => name).FirstOrDefault(group => group.Count() > 1)?.Key;
        if (repeated != null)
        {
            throw new BadArgumentException(argument, "each column once", $"'{repeated}' twice");
        }

        if (features.Contains(idColumn))
        {
            throw new BadArgumentException(argument, $"columns other than the {_what}'s id, which needs no naming", $"'{idColumn}'");
        }
    }

    private static ColumnKind KindOf(FeatureColumn? column) => column switch
    {
        { BucketEdges: not null } => ColumnKind.Numeric,
        { IsMultiValued: true } => ColumnKind.MultiValued,
        _ => ColumnKind.Categorical,
    };

    private void ReadFile(DuckDb duck, SourceFile file, string idColumn, CancellationToken cancel)
    {
        _files.Add((file, Ids.Count));
        bool[] lists = _columns.Select(column => file.Column(column.Name).IsList).ToArray();
        var expressions = new List<string> { SqlText.Id(file.Column(idColumn)) };
        expressions.AddRange(_columns.Select(column => SqlText.Feature(file.Column(column.Name))));
        long rowInFile = 0;
        file.Read(
            duck,
            expressions,
            rows =>
            {
                TextVector ids = rows.Text(0);
                for (int row = 0; row < rows.Count; row++, rowInFile++)
                {
                    if (AddId(file, rowInFile, idColumn, ids, row))
                    {
                        AddValues(rows, row, lists);
                    }
                }
            },
            cancel);
    }

    private bool AddId(SourceFile file, long rowInFile, string idColumn, TextVector ids, int row)
    {
        if (ids.IsNull(row) || ids[row].IsEmpty)
        {
            throw file.Error(rowInFile, idColumn, $"the {_what}'s id is missing");
        }

        int next = Ids.Count;
        int at = Ids.Add(ids[row]);
        if (at == next)
        {
            _rowInFile.Add(rowInFile);
            return true;
        }

        if (!_options.KeepFirstDuplicate)
        {
            SourceFile first = FileOf(at);
            string where = $"row {_rowInFile[at] + 1}" + (first == file ? "" : $" of {first.Path}");
            throw file.Error(rowInFile, idColumn, $"{_what} '{Encoding.UTF8.GetString(ids[row])}' occurs again, it is already in {where}");
        }

        Duplicates++;
        return false;
    }

    private void AddValues(DuckDbRows rows, int row, bool[] lists)
    {
        for (int i = 0; i < lists.Length; i++)
        {
            if (lists[i])
            {
                _columns[i].AddRow(rows.TextList(i + 1), row);
            }
            else
            {
                _columns[i].AddRow(rows.Text(i + 1), row);
            }
        }
    }

    private DatasetException NotANumber(TokenColumn column, int text)
    {
        int row = Enumerable.Range(0, column.Rows).First(r => column.HasValue(r, text));
        return FileOf(row).Error(_rowInFile[row], column.Name, $"expected a number as in other rows, got '{column.Texts.Text(text)}'");
    }

    private SourceFile FileOf(int row) => _files.Last(entry => entry.FirstRow <= row).File;
}
