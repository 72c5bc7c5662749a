using Twintail.Data.Duck;
using Twintail.Features;

namespace Twintail.Data.Ingest;

/// <summary>
/// Collects the values of one feature, row by row, as numbers of texts. What kind of feature it is shows at the end: multi-valued if any
/// row joined values or the column holds lists, a number if its texts are numbers, else categorical.
/// </summary>
internal sealed class TokenColumn
{
    private readonly Utf8Dictionary _texts = new();
    private readonly PagedList<int> _values = new();
    private readonly PagedList<long> _ends = new();
    private readonly byte _separator;
    private int[] _lastRow = new int[16];

    public TokenColumn(string name, bool list, char separator)
    {
        Name = name;
        IsMultiValued = list;
        _separator = (byte)separator;
    }

    public string Name { get; }

    public bool IsMultiValued { get; private set; }

    public int Rows => (int)_ends.Count;

    public Utf8Dictionary Texts => _texts;

    /// <summary>Adds a row of a text column.</summary>
    public void AddRow(TextVector vector, long row)
    {
        if (!vector.IsNull(row))
        {
            ReadOnlySpan<byte> text = vector[row];
            for (int cut; (cut = text.IndexOf(_separator)) >= 0; text = text[(cut + 1)..])
            {
                IsMultiValued = true;
                AddValue(text[..cut]);
            }

            AddValue(text);
        }

        _ends.Add(_values.Count);
    }

    /// <summary>Adds a row of a list column.</summary>
    public void AddRow(TextListVector vector, long row)
    {
        if (!vector.IsNull(row))
        {
            (long start, long length) = vector.Range(row);
            TextVector values = vector.Values;
            for (long i = start; i < start + length; i++)
            {
                if (!values.IsNull(i))
                {
                    AddValue(values[i]);
                }
            }
        }

        _ends.Add(_values.Count);
    }

    /// <summary>Adds a row without a value.</summary>
    public void AddMissingRow() => _ends.Add(_values.Count);

    /// <summary>Whether a row has a text, by its number.</summary>
    public bool HasValue(int row, int text)
    {
        for (long i = Start(row); i < _ends[row]; i++)
        {
            if (_values[i] == text)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>The column with its texts renumbered.</summary>
    /// <param name="idOf">Value id of each text; 0 treats the text as missing.</param>
    /// <param name="vocabulary">Text of each value id.</param>
    /// <param name="multiValued">Whether to keep offsets.</param>
    /// <param name="edges">Bucket edges of a numeric column.</param>
    public FeatureColumn Build(int[] idOf, string[] vocabulary, bool multiValued, double[]? edges)
    {
        var ids = new List<int>();
        var offsets = new long[Rows + 1];
        var single = new int[multiValued ? 0 : Rows];
        long at = 0;
        for (int row = 0; row < Rows; row++)
        {
            for (; at < _ends[row]; at++)
            {
                int id = idOf[_values[at]];
                if (id != 0 && multiValued)
                {
                    ids.Add(id);
                }
                else if (id != 0)
                {
                    single[row] = id;
                }
            }

            offsets[row + 1] = ids.Count;
        }

        return multiValued
            ? new FeatureColumn(Name, vocabulary, [.. ids], offsets, edges)
            : new FeatureColumn(Name, vocabulary, single, null, edges);
    }

    /// <summary>Number of rows that have each text.</summary>
    public int[] Counts()
    {
        var counts = new int[_texts.Count];
        for (long i = 0; i < _values.Count; i++)
        {
            counts[_values[i]]++;
        }

        return counts;
    }

    private long Start(int row) => row == 0 ? 0 : _ends[row - 1];

    // A value that a row names twice counts once: features are sets.
    private void AddValue(ReadOnlySpan<byte> text)
    {
        text = text.Trim(" \t\r\n"u8);
        if (text.IsEmpty)
        {
            return;
        }

        int index = _texts.Add(text);
        if (index >= _lastRow.Length)
        {
            Array.Resize(ref _lastRow, 2 * _lastRow.Length);
        }

        int mark = Rows + 1;
        if (_lastRow[index] != mark)
        {
            _lastRow[index] = mark;
            _values.Add(index);
        }
    }
}
