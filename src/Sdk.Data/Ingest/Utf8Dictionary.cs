using System.Buffers.Binary;
using System.Text;

namespace Twintail.Data.Ingest;

/// <summary>
/// Numbers texts 0, 1, 2, ... by first appearance. Keys stay in UTF-8 in a few large _pages, so that a hundred million look-ups make no
/// objects for the garbage collector.
/// </summary>
internal sealed class Utf8Dictionary
{
    private const int PageBytes = 1 << 20;

    private readonly List<byte[]> _pages = [];
    private (int Page, int Start, int Length)[] _keys = new (int, int, int)[16];
    private uint[] _hashes = new uint[16];
    private int[] _slots = new int[32];
    private int _used;

    /// <summary>Number of texts.</summary>
    public int Count { get; private set; }

    /// <summary>The text's number; a new text gets the next one.</summary>
    public int Add(ReadOnlySpan<byte> text)
    {
        uint hash = Hash(text);
        int slot = Find(text, hash);
        if (_slots[slot] != 0)
        {
            return _slots[slot] - 1;
        }

        if (2 * (Count + 1) > _slots.Length)
        {
            Grow();
            slot = Find(text, hash);
        }

        if (Count == _keys.Length)
        {
            Array.Resize(ref _keys, 2 * Count);
            Array.Resize(ref _hashes, 2 * Count);
        }

        _keys[Count] = Store(text);
        _hashes[Count] = hash;
        _slots[slot] = ++Count;
        return Count - 1;
    }

    /// <summary>The text's number, or -1.</summary>
    public int IndexOf(ReadOnlySpan<byte> text) => _slots[Find(text, Hash(text))] - 1;

    /// <summary>The UTF-8 text of a number.</summary>
    public ReadOnlySpan<byte> this[int index] => _pages[_keys[index].Page].AsSpan(_keys[index].Start, _keys[index].Length);

    /// <summary>The text of a number.</summary>
    public string Text(int index) => Encoding.UTF8.GetString(this[index]);

    private int Find(ReadOnlySpan<byte> text, uint hash)
    {
        int mask = _slots.Length - 1;
        int slot = (int)hash & mask;
        while (_slots[slot] != 0)
        {
            int index = _slots[slot] - 1;
            if (_hashes[index] == hash && this[index].SequenceEqual(text))
            {
                return slot;
            }

            slot = (slot + 1) & mask;
        }

        return slot;
    }

    private void Grow()
    {
        _slots = new int[checked(2 * _slots.Length)];
        int mask = _slots.Length - 1;
        for (int index = 0; index < Count; index++)
        {
            int slot = (int)_hashes[index] & mask;
            while (_slots[slot] != 0)
            {
                slot = (slot + 1) & mask;
            }

            _slots[slot] = index + 1;
        }
    }

    private (int Page, int Start, int Length) Store(ReadOnlySpan<byte> text)
    {
        if (_pages.Count == 0 || _used + text.Length > _pages[^1].Length)
        {
            _pages.Add(new byte[Math.Max(PageBytes, text.Length)]);
            _used = 0;
        }

        text.CopyTo(_pages[^1].AsSpan(_used));
        _used += text.Length;
        return (_pages.Count - 1, _used - text.Length, text.Length);
    }

    // Multiply and rotate over 8 bytes at a time, mixed at the end. The order of the numbers does not depend on it.
    private static uint Hash(ReadOnlySpan<byte> text)
    {
        const ulong Prime = 0x9E3779B97F4A7C15;
        ulong hash = (ulong)text.Length * Prime;
        while (text.Length >= 8)
        {
            hash = ulong.RotateLeft((hash ^ BinaryPrimitives.ReadUInt64LittleEndian(text)) * Prime, 29);
            text = text[8..];
        }

        ulong rest = 0;
        for (int i = text.Length - 1; i >= 0; i--)
        {
            rest = (rest << 8) | text[i];
        }

        hash = (hash ^ rest) * Prime;
        hash ^= hash >> 32;
        return (uint)((hash * Prime) >> 32);
    }
}
