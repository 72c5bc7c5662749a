using System.Runtime.CompilerServices;

namespace Twintail.Sampling;

/// <summary>What random numbers are for; enters the Philox key, so that uses never share numbers.</summary>
internal enum Purpose : uint
{
    Initialize = 1,
    ClickOrder = 2,
    SelfItems = 3,
    SelfViews = 4,
    IdDropout = 5,
    HistoryDropout = 6,
    MixedNegatives = 7,
    ValidUsers = 8,
    Resample = 9,
    Chance = 10,
    Permutation = 11,
}

/// <summary>
/// Philox4x32-10 (Salmon et al., SC 2011) with the key and counter layout of twintail.h, for random decisions of the host. Without
/// state: equal arguments give equal numbers, on every machine.
/// </summary>
internal readonly struct Philox
{
    private readonly uint _key0;
    private readonly uint _key1;

    public Philox(long seed, Purpose purpose)
    {
        _key0 = unchecked((uint)seed ^ ((uint)purpose * 0x9E3779B9u));
        _key1 = unchecked((uint)((ulong)seed >> 32));
    }

    /// <summary>One block of four 32-bit numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Block(uint c0, uint c1, uint c2, uint c3, out uint r0, out uint r1, out uint r2, out uint r3)
    {
        uint k0 = _key0;
        uint k1 = _key1;
        for (int round = 0; round < 10; round++)
        {
            ulong p0 = 0xD2511F53ul * c0;
            ulong p1 = 0xCD9E8D57ul * c2;
            c0 = (uint)(p1 >> 32) ^ c1 ^ k0;
            c1 = (uint)p1;
            c2 = (uint)(p0 >> 32) ^ c3 ^ k1;
            c3 = (uint)p0;
            k0 = unchecked(k0 + 0x9E3779B9u);
            k1 = unchecked(k1 + 0xBB67AE85u);
        }

        r0 = c0;
        r1 = c1;
        r2 = c2;
        r3 = c3;
    }

    /// <summary>An integer uniform in [0, bound), bound below 2^32, from the counter (position, row, step).</summary>
    public int Below(int bound, uint position, uint row, long step)
    {
        Block(position, row, (uint)step, (uint)(((ulong)step >> 32) & 0xFFFF) << 16, out uint r0, out uint r1, out _, out _);

        // High 64 bits of (r0 | r1 << 32) * bound; bound fits 31 bits, so two products are enough.
        ulong low = (ulong)r0 * (uint)bound;
        ulong high = ((ulong)r1 * (uint)bound) + (low >> 32);
        return (int)(high >> 32);
    }

    /// <summary>A random order of 0 .. count - 1 (Fisher–Yates), different for each step.</summary>
    public int[] Permutation(int count, long step)
    {
        var order = new int[count];
        for (int i = 0; i < count; i++)
        {
            order[i] = i;
        }

        for (int i = count - 1; i > 0; i--)
        {
            int j = Below(i + 1, (uint)i, 0, step);
            (order[i], order[j]) = (order[j], order[i]);
        }

        return order;
    }
}
