using Twintail.Bench.Data;

namespace Twintail.Bench.Peers;

/// <summary>
/// Turns bags of values round: the distinct values, and for each of them the bags that hold it, by a radix sort in
/// three passes of 10 bits (ids up to 2^30). Memory is reused.
/// </summary>
internal sealed class MergedRows
{
    private const int Bits = 10;

    private ulong[] _entries = [];
    private ulong[] _other = [];

    /// <summary>The distinct values, ascending; <see cref="RowCount"/> are valid.</summary>
    public long[] Rows { get; private set; } = [];

    /// <summary>First of each row's entries in <see cref="Bags"/>.</summary>
    public int[] Starts { get; private set; } = [];

    /// <summary>Bags, grouped by row, ascending within a row; <see cref="EntryCount"/> are valid.</summary>
    public int[] Bags { get; private set; } = [];

    /// <summary>Number of distinct values.</summary>
    public int RowCount { get; private set; }

    /// <summary>Number of entries of all bags.</summary>
    public int EntryCount { get; private set; }

    /// <summary>Takes the bags of several views; bag b of view v is number v * bags + b.</summary>
    public void Build(int vocabulary, params ReadOnlySpan<KeptValues> views)
    {
        EntryCount = 0;
        foreach (KeptValues view in views)
        {
            EntryCount += view.Count;
        }

        Reserve(EntryCount);
        Fill(views);
        for (int shift = 32; vocabulary - 1 >> (shift - 32) != 0; shift += Bits)
        {
            SortBy(shift);
        }

        Split();
    }

    private void Reserve(int count)
    {
        if (_entries.Length < count)
        {
            int length = count + (count / 8);
            _entries = new ulong[length];
            _other = new ulong[length];
            Rows = new long[length];
            Starts = new int[length];
            Bags = new int[length];
        }
    }

    private void Fill(ReadOnlySpan<KeptValues> views)
    {
        int next = 0;
        uint bag = 0;
        foreach (KeptValues view in views)
        {
            ReadOnlySpan<int> values = view.Values;
            for (int b = 0; b + 1 < view.Offsets.Length; b++, bag++)
            {
                for (int i = view.Offsets[b]; i < view.Offsets[b + 1]; i++)
                {
                    _entries[next++] = (ulong)values[i] << 32 | bag;
                }
            }
        }
    }

    private void SortBy(int shift)
    {
        Span<int> next = stackalloc int[(1 << Bits) + 1];
        next.Clear();
        ReadOnlySpan<ulong> entries = _entries.AsSpan(0, EntryCount);
        foreach (ulong entry in entries)
        {
            next[(int)(entry >> shift & ((1 << Bits) - 1)) + 1]++;
        }

        for (int i = 0; i < 1 << Bits; i++)
        {
            next[i + 1] += next[i];
        }

        ulong[] to = _other;
        foreach (ulong entry in entries)
        {
            to[next[(int)(entry >> shift & ((1 << Bits) - 1))]++] = entry;
        }

        (_entries, _other) = (_other, _entries);
    }

    private void Split()
    {
        RowCount = 0;
        long row = -1;
        for (int i = 0; i < EntryCount; i++)
        {
            ulong entry = _entries[i];
            if ((long)(entry >> 32) != row)
            {
                row = (long)(entry >> 32);
                Rows[RowCount] = row;
                Starts[RowCount++] = i;
            }

            Bags[i] = (int)(uint)entry;
        }
    }
}
