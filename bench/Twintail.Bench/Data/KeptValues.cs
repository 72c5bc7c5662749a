namespace Twintail.Bench.Data;

/// <summary>The values of one feature that a view keeps: bag i has Values[Offsets[i] .. Offsets[i + 1]). Memory is reused.</summary>
internal sealed class KeptValues(int bags)
{
    private int[] _values = new int[bags * 4];

    /// <summary>[bags + 1].</summary>
    public int[] Offsets { get; } = new int[bags + 1];

    /// <summary>Number of values.</summary>
    public int Count { get; private set; }

    /// <summary>The values.</summary>
    public ReadOnlySpan<int> Values => _values.AsSpan(0, Count);

    /// <summary>Starts anew, with room for <paramref name="capacity"/> values.</summary>
    public void Clear(int capacity = 0)
    {
        Count = 0;
        Reserve(capacity);
    }

    /// <summary>Makes room for so many more values.</summary>
    public void Reserve(int more)
    {
        if (_values.Length < Count + more)
        {
            Array.Resize(ref _values, Math.Max(2 * _values.Length, Count + more));
        }
    }

    /// <summary>Adds to the current bag; there must be room.</summary>
    public void Add(int value) => _values[Count++] = value;

    /// <summary>Adds to the current bag; there must be room.</summary>
    public void Add(ReadOnlySpan<int> values)
    {
        values.CopyTo(_values.AsSpan(Count));
        Count += values.Length;
    }

    /// <summary>Ends bag <paramref name="bag"/>; a bag without values gets the default.</summary>
    public void EndBag(int bag)
    {
        if (Count == Offsets[bag])
        {
            Reserve(1);
            Add(0);
        }

        Offsets[bag + 1] = Count;
    }
}
