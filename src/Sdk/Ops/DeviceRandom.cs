using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>
/// Counter-based random numbers (Philox4x32-10; Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): the
/// same (seed, purpose, step) gives the same numbers on every device and for any number of threads.
/// </summary>
public static unsafe class DeviceRandom
{
    /// <summary>One block of four 32-bit numbers.</summary>
    /// <param name="key">Key [2].</param>
    /// <param name="counter">Counter [4].</param>
    /// <returns>[4].</returns>
    public static uint[] Philox(uint[] key, uint[] counter)
    {
        Guard.Length(key, 2, nameof(key));
        Guard.Length(counter, 4, nameof(counter));
        TwintailLibrary.EnsureLoaded();
        var output = new uint[4];
        fixed (uint* k = key, c = counter, o = output)
        {
            Status.Check(NativeMethods.tt_philox(k, c, o));
        }

        return output;
    }

    /// <summary>Uniform numbers in [lo, hi) at <paramref name="output"/> [count], a raw device pointer.</summary>
    /// <exception cref="BadArgumentException">count is negative or a bound is not finite.</exception>
    public static void FillUniform(
        Device device, ulong seed, uint purpose, long step, float lo, float hi, float* output, long count)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_fill_uniform(lease.Pointer, seed, purpose, step, lo, hi, count, output));
    }

    /// <summary>Fills a buffer with uniform numbers in [lo, hi).</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="purpose">What the numbers are for: different purposes give independent numbers.</param>
    /// <param name="step">Step of the run.</param>
    /// <param name="lo">Lower bound.</param>
    /// <param name="hi">Upper bound.</param>
    /// <param name="output">All of it is written.</param>
    /// <exception cref="BadArgumentException">A bound is not finite.</exception>
    public static void FillUniform(
        Device device, ulong seed, uint purpose, long step, float lo, float hi, DeviceBuffer<float> output)
    {
        FillUniform(device, seed, purpose, step, lo, hi, Guard.Pointer(device, output, 0, nameof(output)), output.Length);
        GC.KeepAlive(output);
    }

    /// <summary>n integers uniform in [0, bound), with replacement, at <paramref name="output"/> [n], a raw device pointer.</summary>
    /// <exception cref="BadArgumentException">bound is not in [1, 2^31] or n is negative.</exception>
    public static void SampleRows(Device device, ulong seed, uint purpose, long step, long bound, int* output, long n)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_sample_rows(lease.Pointer, seed, purpose, step, bound, n, output));
    }

    /// <summary>Fills a buffer with integers uniform in [0, bound), with replacement.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="purpose">What the numbers are for: different purposes give independent numbers.</param>
    /// <param name="step">Step of the run.</param>
    /// <param name="bound">Number of rows to draw from.</param>
    /// <param name="output">All of it is written.</param>
    /// <exception cref="BadArgumentException">bound is not in [1, 2^31].</exception>
    public static void SampleRows(Device device, ulong seed, uint purpose, long step, long bound, DeviceBuffer<int> output)
    {
        SampleRows(device, seed, purpose, step, bound, Guard.Pointer(device, output, 0, nameof(output)), output.Length);
        GC.KeepAlive(output);
    }

    /// <summary>
    /// The n clicks from <paramref name="start"/> on in the order of an epoch, a permutation of all clicks of which every place is found by
    /// itself (formula and sources: twintail.h, tt_sample_clicks): outUsers[i] = users[at(start + i)], outItems[i] = items[at(start + i)].
    /// Raw device pointers.
    /// </summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="purpose">What the numbers are for: different purposes give independent orders.</param>
    /// <param name="epoch">Each epoch has an order of its own.</param>
    /// <param name="users">[count].</param>
    /// <param name="items">[count].</param>
    /// <param name="count">All clicks.</param>
    /// <param name="start">First place.</param>
    /// <param name="n">Number of places.</param>
    /// <param name="outUsers">[n].</param>
    /// <param name="outItems">[n].</param>
    /// <exception cref="BadArgumentException">epoch is not in [0, 2^48), count not in [1, 2^60], or the places go beyond count.</exception>
    public static void SampleClicks(
        Device device, ulong seed, uint purpose, long epoch, int* users, int* items, long count, long start, long n, int* outUsers, int* outItems)
    {
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_sample_clicks(lease.Pointer, seed, purpose, epoch, users, items, count, start, n, outUsers, outItems));
    }

    /// <summary>Fills two buffers with the clicks from <paramref name="start"/> on in the order of an epoch.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="purpose">What the numbers are for: different purposes give independent orders.</param>
    /// <param name="epoch">Each epoch has an order of its own.</param>
    /// <param name="users">User row of each click.</param>
    /// <param name="items">Item row of each click, as many.</param>
    /// <param name="start">First place.</param>
    /// <param name="outUsers">All of it is written.</param>
    /// <param name="outItems">As long as <paramref name="outUsers"/>.</param>
    /// <exception cref="BadArgumentException">Lengths differ, epoch is not in [0, 2^48), or the places go beyond the clicks.</exception>
    public static void SampleClicks(
        Device device,
        ulong seed,
        uint purpose,
        long epoch,
        DeviceBuffer<int> users,
        DeviceBuffer<int> items,
        long start,
        DeviceBuffer<int> outUsers,
        DeviceBuffer<int> outItems)
    {
        int* from = Guard.Pointer(device, users, 0, nameof(users));
        int* to = Guard.Pointer(device, outUsers, 0, nameof(outUsers));
        SampleClicks(
            device,
            seed,
            purpose,
            epoch,
            from,
            Guard.Pointer(device, items, users.Length, nameof(items)),
            users.Length,
            start,
            outUsers.Length,
            to,
            Guard.Pointer(device, outItems, outUsers.Length, nameof(outItems)));
        GC.KeepAlive(users);
        GC.KeepAlive(items);
        GC.KeepAlive(outUsers);
        GC.KeepAlive(outItems);
    }
}
