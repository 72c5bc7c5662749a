using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Twintail.Storage;

/// <summary>Reads a safetensors file, own or foreign. The layout, and the digest where there is one, are checked on opening.</summary>
internal sealed class SafetensorsReader : IDisposable
{
    private const long MaxHeader = 100_000_000; // the format's own limit
    private readonly FileStream _stream;
    private readonly string _path;
    private readonly Dictionary<string, Entry> _entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);
    private long _dataStart;

    /// <summary>Opens a file and checks it.</summary>
    /// <param name="path">The file.</param>
    /// <param name="needsDigest">Whether a file without a digest is damaged; false for files of other writers.</param>
    /// <exception cref="CorruptFileException">Cut short, changed, or no safetensors file at all.</exception>
    /// <exception cref="IOException">It is not there or cannot be read.</exception>
    public SafetensorsReader(string path, bool needsDigest = true)
    {
        _path = path;
        _stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
        try
        {
            byte[] header = ReadHeader();
            ParseHeader(header);
            CheckLayout();
            CheckDigest(header, needsDigest);
        }
        catch
        {
            _stream.Dispose();
            throw;
        }
    }

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    public IEnumerable<string> Names => _entries.Keys;

    public bool Contains(string name) => _entries.ContainsKey(name);

    public long[] Shape(string name) => Find(name).Shape;

    /// <summary>Reads a whole tensor.</summary>
    /// <exception cref="CorruptFileException">There is no such tensor, or it has another type.</exception>
    public T[] Read<T>(string name)
        where T : unmanaged
    {
        Entry entry = Find<T>(name);
        var values = new T[entry.Bytes / Marshal.SizeOf<T>()];
        _stream.Position = _dataStart + entry.Begin;
        var buffer = new byte[1 << 20];
        int step = buffer.Length / Marshal.SizeOf<T>();
        for (int start = 0; start < values.Length; start += step)
        {
            Span<byte> bytes = MemoryMarshal.AsBytes(values.AsSpan(start, Math.Min(step, values.Length - start)));
            Fill(buffer, bytes.Length);
            buffer.AsSpan(0, bytes.Length).CopyTo(bytes);
        }

        return values;
    }

    /// <summary>Number of bytes of a tensor.</summary>
    public long Bytes(string name) => Find(name).Bytes;

    /// <summary>Reads <paramref name="count"/> bytes of a tensor of bytes, from <paramref name="offset"/> on, to the start of a buffer.</summary>
    /// <exception cref="CorruptFileException">There is no such tensor, or it has another type or fewer bytes.</exception>
    public void ReadBytes(string name, long offset, byte[] buffer, int count)
    {
        Entry entry = Find<byte>(name);
        if (offset < 0 || count > entry.Bytes - offset)
        {
            throw Corrupt($"tensor '{name}' has {entry.Bytes} bytes, expected {offset + count}");
        }

        // Only where it has to move: setting the position may cost the stream its buffer.
        long position = _dataStart + entry.Begin + offset;
        if (_stream.Position != position)
        {
            _stream.Position = position;
        }

        Fill(buffer, count);
    }

    /// <summary>Reads a tensor into elements [offset, offset + count) of a device's memory.</summary>
    /// <exception cref="CorruptFileException">There is no such tensor, or type or length differ.</exception>
    public void ReadTo<T>(string name, DeviceBuffer<T> target, long offset, long count)
        where T : unmanaged
    {
        Entry entry = Find<T>(name);
        if (entry.Bytes != count * Marshal.SizeOf<T>())
        {
            throw Corrupt($"tensor '{name}' has {entry.Bytes} bytes, expected {count * Marshal.SizeOf<T>()}");
        }

        _stream.Position = _dataStart + entry.Begin;
        var buffer = new byte[1 << 20];
        int step = buffer.Length / Marshal.SizeOf<T>();
        for (long start = 0; start < count; start += step)
        {
            int bytes = (int)Math.Min(step, count - start) * Marshal.SizeOf<T>();
            Fill(buffer, bytes);
            target.CopyFrom(MemoryMarshal.Cast<byte, T>(buffer.AsSpan(0, bytes)), offset + start);
        }
    }

    public void Dispose() => _stream.Dispose();

    public CorruptFileException Corrupt(string reason, Exception? inner = null) => new(_path, reason, inner);

    private byte[] ReadHeader()
    {
        var prefix = new byte[8];
        if (_stream.Length < 8)
        {
            throw Corrupt($"no safetensors file: {_stream.Length} bytes");
        }

        Fill(prefix, 8);
        ulong length = BitConverter.ToUInt64(prefix, 0);
        if (length > MaxHeader || (long)length > _stream.Length - 8)
        {
            throw Corrupt($"no safetensors file, or cut short: a header of {length} bytes in a file of {_stream.Length}");
        }

        var header = new byte[length];
        Fill(header, header.Length);
        _dataStart = 8 + header.Length;
        return header;
    }

    private void ParseHeader(byte[] header)
    {
        try
        {
            foreach (KeyValuePair<string, object?> member in JsonText.ParseObject(Encoding.UTF8.GetString(header), "header"))
            {
                var body = member.Value as JsonObject ?? throw Corrupt($"header member '{member.Key}' is no object");
                if (member.Key == "__metadata__")
                {
                    ParseMetadata(body);
                }
                else
                {
                    _entries.Add(member.Key, ParseEntry(member.Key, body));
                }
            }
        }
        catch (BadArgumentException e)
        {
            throw Corrupt(e.Message, e);
        }
    }

    private void ParseMetadata(JsonObject body)
    {
        foreach (KeyValuePair<string, object?> entry in body)
        {
            _metadata.Add(entry.Key, entry.Value as string ?? throw Corrupt($"metadata '{entry.Key}' is no text"));
        }
    }

    private Entry ParseEntry(string name, JsonObject body)
    {
        long[]? shape = Integers(body["shape"]);
        long[]? offsets = Integers(body["data_offsets"]);
        if (body["dtype"] is not string type || shape == null || offsets == null || offsets.Length != 2)
        {
            throw Corrupt($"tensor '{name}' lacks dtype, shape or data_offsets");
        }

        return new Entry(type, shape, offsets[0], offsets[1]);
    }

    private static long[]? Integers(object? value) =>
        value is List<object?> list && list.TrueForAll(x => x is long and >= 0) ? list.ConvertAll(x => (long)x!).ToArray() : null;

    /// <summary>Tensors must fill the data section without holes or overlaps, as the format demands.</summary>
    private void CheckLayout()
    {
        long end = 0;
        foreach (KeyValuePair<string, Entry> named in _entries.OrderBy(x => x.Value.Begin).ThenBy(x => x.Value.End))
        {
            Entry entry = named.Value;
            int size = Size(entry.Type);
            double count = entry.Shape.Aggregate(1.0, (a, b) => a * b);
            if (entry.Begin != end || entry.End < entry.Begin || (size > 0 && count * size != entry.Bytes))
            {
                throw Corrupt($"tensor '{named.Key}': offsets {entry.Begin} to {entry.End} do not fit its shape and neighbours");
            }

            end = entry.End;
        }

        if (_stream.Length != _dataStart + end)
        {
            throw Corrupt($"{_stream.Length} bytes, expected {_dataStart + end}");
        }
    }

    private void CheckDigest(byte[] header, bool needsDigest)
    {
        if (!_metadata.TryGetValue(SafetensorsWriter.DigestKey, out string? expected))
        {
            if (needsDigest)
            {
                throw Corrupt("it has no digest");
            }

            return;
        }

        int at = Encoding.UTF8.GetString(header).IndexOf(expected, StringComparison.Ordinal);
        if (expected.Length != 64 || at < 0)
        {
            throw Corrupt("its digest is damaged");
        }

        // The digest stands before any text that may be other than ASCII, so characters are bytes up to there.
        Encoding.ASCII.GetBytes(SafetensorsWriter.NoDigest).CopyTo(header, at);
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(header);
        var buffer = new byte[1 << 20];
        for (int count = _stream.Read(buffer, 0, buffer.Length); count > 0; count = _stream.Read(buffer, 0, buffer.Length))
        {
            hash.AppendData(buffer, 0, count);
        }

        if (SafetensorsWriter.Hex(hash.GetHashAndReset()) != expected)
        {
            throw Corrupt("its content does not match its SHA-256 digest");
        }
    }

    private static int Size(string type)
    {
        switch (type)
        {
            case "U8" or "I8" or "BOOL":
                return 1;
            case "F16" or "BF16" or "I16" or "U16":
                return 2;
            case "F32" or "I32" or "U32":
                return 4;
            case "F64" or "I64" or "U64":
                return 8;
            default:
                return 0; // unknown to us: its length is not checked
        }
    }

    private Entry Find(string name) => _entries.TryGetValue(name, out Entry? entry) ? entry : throw Corrupt($"has no tensor '{name}'");

    private Entry Find<T>(string name)
    {
        Entry entry = Find(name);
        string type = TensorData.TypeName<T>();
        return entry.Type == type ? entry : throw Corrupt($"tensor '{name}' is of type {entry.Type}, expected {type}");
    }

    private void Fill(byte[] buffer, int count)
    {
        for (int done = 0; done < count;)
        {
            int read = _stream.Read(buffer, done, count - done);
            done += read > 0 ? read : throw Corrupt("cut short while it was read");
        }
    }

    private sealed class Entry
    {
        public Entry(string type, long[] shape, long begin, long end)
        {
            Type = type;
            Shape = shape;
            Begin = begin;
            End = end;
        }

        public string Type { get; }

        public long[] Shape { get; }

        public long Begin { get; }

        public long End { get; }

        public long Bytes => End - Begin;
    }
}
