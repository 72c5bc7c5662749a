using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Twintail.Bench.Machine;

/// <summary>
/// What the machine can do at this moment, measured: fused multiply-adds in registers, or copying memory. Fractions of peak refer to
/// these, so they are taken on as many threads as the ops use, in the process that times them, in turns with what is timed: where
/// others use the same cores or memory, both are slower. A measurement takes 20 to 30 ms.
/// </summary>
internal sealed unsafe class PeakProbe : IDisposable
{
    private const int Repeats = 3;
    private const nuint CopiedBytes = 128 << 20;
    private readonly int _threads;
    private readonly string _unit;
    private readonly IntPtr[] _buffers;

    /// <summary>Prepares measurements of what work of this unit, "flop" or "byte", is held against.</summary>
    public PeakProbe(int threads, string unit)
    {
        _threads = threads;
        _unit = unit;
        _buffers = new IntPtr[unit == "byte" ? 2 * threads : 0];
        for (int i = 0; i < _buffers.Length; i++)
        {
            _buffers[i] = (IntPtr)NativeMemory.AlignedAlloc(CopiedBytes, 4096);
            NativeMemory.Fill((void*)_buffers[i], CopiedBytes, (byte)i);
        }
    }

    /// <summary>
    /// The limit of a contender, in units a second; null where there is none here: for the portable path, and for bfloat16, whose
    /// instruction C# does not offer (the native bench has that peak).
    /// </summary>
    public double? Of(string? isa, string dtype) => _unit == "byte" ? CopyBytes() : (isa, dtype) switch
    {
        ("avx512", "float32") when Avx512F.IsSupported => Flops(wide: true),
        ("avx2", "float32") when Fma.IsSupported => Flops(wide: false),
        _ => null,
    };

    public void Dispose()
    {
        foreach (IntPtr buffer in _buffers)
        {
            NativeMemory.AlignedFree((void*)buffer);
        }
    }

    /// <summary>float32 operations per second of all threads; a fused multiply-add counts as two.</summary>
    private double Flops(bool wide)
    {
        const long Rounds = 2_000_000;
        double seconds = Best(_threads, _ => wide ? Fma512(Rounds) : Fma256(Rounds));
        double flopsOfRound = wide ? 24 * 2 * Vector512<float>.Count : 12 * 2 * Vector256<float>.Count;
        return _threads * Rounds * flopsOfRound / seconds;
    }

    /// <summary>Bytes per second, read and written together, of all threads copying 128 MiB each past the cache.</summary>
    private double CopyBytes()
    {
        double seconds = Best(_threads, thread => Copy((byte*)_buffers[2 * thread], (byte*)_buffers[(2 * thread) + 1], CopiedBytes));
        return _threads * 2.0 * CopiedBytes / seconds;
    }

    /// <summary>The shortest time that all threads took together, from a common start.</summary>
    private static double Best(int threads, Func<int, float> work)
    {
        using var start = new Barrier(threads);
        var begins = new long[threads];
        var ends = new long[threads];
        double best = double.MaxValue;
        void Body(int thread)
        {
            for (int repeat = 0; repeat < Repeats; repeat++)
            {
                start.SignalAndWait();
                begins[thread] = Stopwatch.GetTimestamp();
                work(thread);
                ends[thread] = Stopwatch.GetTimestamp();
                start.SignalAndWait();
                if (thread == 0 && repeat > 0)
                {
                    best = Math.Min(best, Stopwatch.GetElapsedTime(begins.Min(), ends.Max()).TotalSeconds);
                }
            }
        }

        Thread[] helpers = [.. Enumerable.Range(1, threads - 1).Select(t => new Thread(() => Body(t)))];
        foreach (Thread helper in helpers)
        {
            helper.Start();
        }

        Body(0);
        foreach (Thread helper in helpers)
        {
            helper.Join();
        }

        return best;
    }

    /// <summary>24 independent chains: more than latency × units of any processor so far.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Fma512(long rounds)
    {
        Vector512<float> x = Vector512.Create(0.5f), y = Vector512.Create(0.25f);
        Vector512<float> a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x, a8 = x, a9 = x, a10 = x, a11 = x;
        Vector512<float> b0 = x, b1 = x, b2 = x, b3 = x, b4 = x, b5 = x, b6 = x, b7 = x, b8 = x, b9 = x, b10 = x, b11 = x;
        for (long i = 0; i < rounds; i++)
        {
            a0 = Avx512F.FusedMultiplyAdd(a0, x, y);
            a1 = Avx512F.FusedMultiplyAdd(a1, x, y);
            a2 = Avx512F.FusedMultiplyAdd(a2, x, y);
            a3 = Avx512F.FusedMultiplyAdd(a3, x, y);
            a4 = Avx512F.FusedMultiplyAdd(a4, x, y);
            a5 = Avx512F.FusedMultiplyAdd(a5, x, y);
            a6 = Avx512F.FusedMultiplyAdd(a6, x, y);
            a7 = Avx512F.FusedMultiplyAdd(a7, x, y);
            a8 = Avx512F.FusedMultiplyAdd(a8, x, y);
            a9 = Avx512F.FusedMultiplyAdd(a9, x, y);
            a10 = Avx512F.FusedMultiplyAdd(a10, x, y);
            a11 = Avx512F.FusedMultiplyAdd(a11, x, y);
            b0 = Avx512F.FusedMultiplyAdd(b0, x, y);
            b1 = Avx512F.FusedMultiplyAdd(b1, x, y);
            b2 = Avx512F.FusedMultiplyAdd(b2, x, y);
            b3 = Avx512F.FusedMultiplyAdd(b3, x, y);
            b4 = Avx512F.FusedMultiplyAdd(b4, x, y);
            b5 = Avx512F.FusedMultiplyAdd(b5, x, y);
            b6 = Avx512F.FusedMultiplyAdd(b6, x, y);
            b7 = Avx512F.FusedMultiplyAdd(b7, x, y);
            b8 = Avx512F.FusedMultiplyAdd(b8, x, y);
            b9 = Avx512F.FusedMultiplyAdd(b9, x, y);
            b10 = Avx512F.FusedMultiplyAdd(b10, x, y);
            b11 = Avx512F.FusedMultiplyAdd(b11, x, y);
        }

        Vector512<float> a = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11;
        return Vector512.Sum(a + b0 + b1 + b2 + b3 + b4 + b5 + b6 + b7 + b8 + b9 + b10 + b11);
    }

    /// <summary>12 chains: with only 16 registers more would go through memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization | MethodImplOptions.NoInlining)]
    private static float Fma256(long rounds)
    {
        Vector256<float> x = Vector256.Create(0.5f), y = Vector256.Create(0.25f);
        Vector256<float> a0 = x, a1 = x, a2 = x, a3 = x, a4 = x, a5 = x, a6 = x, a7 = x, a8 = x, a9 = x, a10 = x, a11 = x;
        for (long i = 0; i < rounds; i++)
        {
            a0 = Fma.MultiplyAdd(a0, x, y);
            a1 = Fma.MultiplyAdd(a1, x, y);
            a2 = Fma.MultiplyAdd(a2, x, y);
            a3 = Fma.MultiplyAdd(a3, x, y);
            a4 = Fma.MultiplyAdd(a4, x, y);
            a5 = Fma.MultiplyAdd(a5, x, y);
            a6 = Fma.MultiplyAdd(a6, x, y);
            a7 = Fma.MultiplyAdd(a7, x, y);
            a8 = Fma.MultiplyAdd(a8, x, y);
            a9 = Fma.MultiplyAdd(a9, x, y);
            a10 = Fma.MultiplyAdd(a10, x, y);
            a11 = Fma.MultiplyAdd(a11, x, y);
        }

        return Vector256.Sum(a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7 + a8 + a9 + a10 + a11);
    }

    /// <summary>Stores that go past the cache, so that the target is not read first.</summary>
    private static float Copy(byte* from, byte* to, nuint bytes)
    {
        for (nuint i = 0; i < bytes; i += 64)
        {
            Vector256.StoreAlignedNonTemporal(Vector256.LoadAligned(from + i), to + i);
            Vector256.StoreAlignedNonTemporal(Vector256.LoadAligned(from + i + 32), to + i + 32);
        }

        return to[bytes - 1];
    }
}
