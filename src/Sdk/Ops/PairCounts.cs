using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>
/// Contingency counts of two features, from which their mutual information follows: each row counts every pair of its values
/// once; a row without values of a feature has the single value 0. Features through lists are not supported.
/// </summary>
public static unsafe class PairCounts
{
    /// <summary>The native call on raw device pointers.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="table">The features.</param>
    /// <param name="featureA">First feature.</param>
    /// <param name="featureB">Second feature.</param>
    /// <param name="rowBegin">First row.</param>
    /// <param name="rowEnd">Row after the last.</param>
    /// <param name="capacity">Length of the outputs.</param>
    /// <param name="valuesA">[capacity], or null: pairs are only counted.</param>
    /// <param name="valuesB">[capacity] or null.</param>
    /// <param name="counts">[capacity] or null.</param>
    /// <returns>Number of distinct pairs.</returns>
    /// <exception cref="BadArgumentException">A feature, row or capacity is wrong.</exception>
    /// <exception cref="UnsupportedException">A feature is read through lists.</exception>
    public static long Invoke(
        Device device,
        DeviceFeatureTable table,
        int featureA,
        int featureB,
        long rowBegin,
        long rowEnd,
        long capacity,
        int* valuesA,
        int* valuesB,
        long* counts)
    {
        long pairs = 0;
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_pair_counts(
            lease.Pointer, table.Pointer, featureA, featureB, rowBegin, rowEnd, capacity, valuesA, valuesB, counts, &pairs));
        GC.KeepAlive(table);
        return pairs;
    }

    /// <summary>The counts as host arrays.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="table">The features.</param>
    /// <param name="featureA">First feature.</param>
    /// <param name="featureB">Second feature.</param>
    /// <param name="rowBegin">First row.</param>
    /// <param name="rowEnd">Row after the last, or -1: all rows of the table.</param>
    /// <exception cref="BadArgumentException">A feature or row is wrong; names the argument.</exception>
    /// <exception cref="UnsupportedException">A feature is read through lists.</exception>
    public static PairCountsResult Count(
        Device device, DeviceFeatureTable table, int featureA, int featureB, long rowBegin = 0, long rowEnd = -1)
    {
        rowEnd = rowEnd < 0 ? table.Rows : rowEnd;
        long pairs = Invoke(device, table, featureA, featureB, rowBegin, rowEnd, 0, null, null, null);
        using DeviceBuffer<int> valuesA = device.Allocate<int>(pairs);
        using DeviceBuffer<int> valuesB = device.Allocate<int>(pairs);
        using DeviceBuffer<long> counts = device.Allocate<long>(pairs);
        if (pairs > 0)
        {
            Invoke(device, table, featureA, featureB, rowBegin, rowEnd, pairs, valuesA.Pointer, valuesB.Pointer, counts.Pointer);
        }

        return new PairCountsResult(valuesA.ToArray(), valuesB.ToArray(), counts.ToArray());
    }
}

/// <summary>Distinct pairs of values, ascending by (A, B), with their counts.</summary>
/// <param name="A">Value ids of the first feature.</param>
/// <param name="B">Value ids of the second feature.</param>
/// <param name="Counts">How many rows have the pair.</param>
public sealed record PairCountsResult(int[] A, int[] B, long[] Counts);
