namespace Twintail.Tests.Ops;

/// <summary>
/// Philox4x32-10 and the counters of twintail.h, written a second time from the paper (Salmon et al., SC 2011) and the header's
/// text, so that the native side is checked against its specification and not against itself.
/// </summary>
internal static class PhiloxReference
{
    public static uint[] Block(uint[] key, uint[] counter)
    {
        (uint k0, uint k1) = (key[0], key[1]);
        (uint c0, uint c1, uint c2, uint c3) = (counter[0], counter[1], counter[2], counter[3]);
        for (int round = 0; round < 10; round++)
        {
            ulong p0 = 0xD2511F53UL * c0;
            ulong p1 = 0xCD9E8D57UL * c2;
            (c0, c1, c2, c3) = ((uint)(p1 >> 32) ^ c1 ^ k0, (uint)p1, (uint)(p0 >> 32) ^ c3 ^ k1, (uint)p0);
            k0 += 0x9E3779B9;
            k1 += 0xBB67AE85;
        }

        return [c0, c1, c2, c3];
    }

    public static uint[] At(
        ulong seed, uint purpose, long step, uint draw, uint position, uint row = 0, int feature = 0, int view = 0)
    {
        uint[] key = [(uint)seed ^ (purpose * 0x9E3779B9), (uint)(seed >> 32)];
        uint last = (uint)feature | ((uint)view << 8) | (draw << 12) | ((uint)((step >> 32) & 0xFFFF) << 16);
        return Block(key, [position, row, (uint)step, last]);
    }

    /// <summary>The high 64 bits of (output 0 | output 1 &lt;&lt; 32) * bound.</summary>
    public static long Below(uint[] block, long bound) =>
        (long)Math.BigMul(block[0] | ((ulong)block[1] << 32), (ulong)bound, out _);

    /// <summary>Whether an event of this rate happens.</summary>
    public static bool Happens(uint u, float rate) => u < Math.Round((double)rate * 4294967296.0);
}
