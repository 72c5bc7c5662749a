using DuckDB.NET.Native;

namespace Twintail.Data.Duck;

/// <summary>The rows of a running query, one chunk of up to 2,048 at a time. Spans into a chunk are valid until the next one is asked for.</summary>
internal sealed class DuckDbRows : IDisposable
{
    private DuckDBResult _result;
    private DuckDBDataChunk? _chunk;
    private bool _disposed;

    internal DuckDbRows(DuckDBResult result)
    {
        _result = result;
        Columns = (int)NativeMethods.Query.DuckDBColumnCount(ref _result);
    }

    public int Columns { get; }

    /// <summary>Rows of the current chunk.</summary>
    public int Count { get; private set; }

    /// <summary>Fetches the next chunk.</summary>
    /// <returns>False at the end.</returns>
    /// <exception cref="DuckDbException">The query failed while running.</exception>
    public bool Next()
    {
        _chunk?.Dispose();
        _chunk = NativeMethods.Query.DuckDBFetchChunk(_result);
        if (_chunk.IsInvalid)
        {
            Count = 0;
            string error = NativeMethods.Query.DuckDBResultError(ref _result);
            return string.IsNullOrEmpty(error) ? false : throw new DuckDbException(error);
        }

        Count = (int)NativeMethods.DataChunks.DuckDBDataChunkGetSize(_chunk);
        return Count > 0;
    }

    /// <summary>A VARCHAR column of the current chunk.</summary>
    public TextVector Text(int column) => new(Vector(column));

    /// <summary>A VARCHAR[] column of the current chunk.</summary>
    public TextListVector TextList(int column) => new(Vector(column));

    /// <summary>A BIGINT column of the current chunk.</summary>
    public LongVector Long(int column) => new(Vector(column));

    public void Dispose()
    {
        if (!_disposed)
        {
            _disposed = true;
            _chunk?.Dispose();
            NativeMethods.Query.DuckDBDestroyResult(ref _result);
        }
    }

    private IntPtr Vector(int column) => NativeMethods.DataChunks.DuckDBDataChunkGetVector(_chunk!, column);
}

/// <summary>Null marks of a vector: bit i of word i/64 is set where a value is present; no marks mean that all are.</summary>
internal readonly unsafe struct Validity(IntPtr vector)
{
    private readonly ulong* _words = NativeMethods.Vectors.DuckDBVectorGetValidity(vector);

    public bool IsNull(long row) => _words != null && (_words[row >> 6] & (1UL << (int)(row & 63))) == 0;
}

/// <summary>UTF-8 texts.</summary>
internal readonly unsafe struct TextVector(IntPtr vector)
{
    // duckdb_string_t: a length; then the text itself if it has at most 12 bytes, else 4 bytes of prefix and a pointer.
    private const int Size = 16;
    private const int MaxInlined = 12;

    private readonly Validity _validity = new(vector);
    private readonly byte* _data = (byte*)NativeMethods.Vectors.DuckDBVectorGetData(vector);

    public ReadOnlySpan<byte> this[long row]
    {
        get
        {
            byte* text = _data + (row * Size);
            int length = *(int*)text;
            return new ReadOnlySpan<byte>(length <= MaxInlined ? text + 4 : *(byte**)(text + 8), length);
        }
    }

    public bool IsNull(long row) => _validity.IsNull(row);
}

/// <summary>Lists of UTF-8 texts.</summary>
internal readonly unsafe struct TextListVector(IntPtr vector)
{
    private readonly Validity _validity = new(vector);
    private readonly ulong* _entries = (ulong*)NativeMethods.Vectors.DuckDBVectorGetData(vector);

    public TextVector Values { get; } = new(NativeMethods.Vectors.DuckDBListVectorGetChild(vector));

    public bool IsNull(long row) => _validity.IsNull(row);

    /// <summary>Where the row's texts stand in <see cref="Values"/>.</summary>
    public (long Start, long Length) Range(long row) => ((long)_entries[2 * row], (long)_entries[(2 * row) + 1]);
}

/// <summary>64-bit integers.</summary>
internal readonly unsafe struct LongVector(IntPtr vector)
{
    private readonly Validity _validity = new(vector);
    private readonly long* _data = (long*)NativeMethods.Vectors.DuckDBVectorGetData(vector);

    public long this[long row] => _data[row];

    public bool IsNull(long row) => _validity.IsNull(row);
}
