using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>How a query and an item are compared.</summary>
public enum Similarity
{
    /// <summary>Inner product.</summary>
    Dot = 0,

    /// <summary>Cosine; 0 where a vector's norm is below 1e-12.</summary>
    Cosine = 1,
}

/// <summary>Queries, items, and what each query may not get; for <see cref="TopK"/> and <see cref="Rank"/>.</summary>
public sealed unsafe class RetrievalArguments
{
    /// <summary>Names the inputs that are always there.</summary>
    /// <param name="n">Number of queries.</param>
    /// <param name="m">Number of items.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="queries">[n, d].</param>
    /// <param name="items">[m, d].</param>
    /// <param name="similarity">How they are compared.</param>
    public RetrievalArguments(
        long n, long m, int d, DeviceBuffer<float> queries, DeviceBuffer<float> items, Similarity similarity = Similarity.Cosine)
    {
        N = n;
        M = m;
        D = d;
        Queries = queries;
        Items = items;
        Similarity = similarity;
    }

    /// <summary>Number of queries.</summary>
    public long N { get; }

    /// <summary>Number of items.</summary>
    public long M { get; }

    /// <summary>Dimension of the vectors.</summary>
    public int D { get; }

    /// <summary>[n, d].</summary>
    public DeviceBuffer<float> Queries { get; }

    /// <summary>[m, d].</summary>
    public DeviceBuffer<float> Items { get; }

    /// <summary>How they are compared.</summary>
    public Similarity Similarity { get; }

    /// <summary>[n + 1]: query i may not get ExcludeItems[ExcludeOffsets[i] .. ExcludeOffsets[i + 1]); null: gets any.</summary>
    public DeviceBuffer<long>? ExcludeOffsets { get; set; }

    /// <summary>Items in [0, m), in any order.</summary>
    public DeviceBuffer<int>? ExcludeItems { get; set; }

    internal tt_retrieval_args ToNative(Device device) => new()
    {
        n = N,
        m = M,
        d = D,
        queries = Guard.Pointer(device, Queries, Guard.Elements(N, D, "n", "d"), "queries"),
        items = Guard.Pointer(device, Items, Guard.Elements(M, D, "m", "d"), "items"),
        exclude_offsets = Guard.PointerOrNull(device, ExcludeOffsets, N + 1, "exclude_offsets"),
        exclude_items = Guard.PointerOrNull(device, ExcludeItems, Entries(ExcludeOffsets, N, "exclude_offsets"), "exclude_items"),
        similarity = (int)Similarity,
    };

    /// <summary>Number of entries that offsets speak of, which the list beside them must hold.</summary>
    internal static long Entries(DeviceBuffer<long>? offsets, long n, string name)
    {
        if (offsets == null)
        {
            return 0;
        }

        Guard.AtLeast(n + 1, offsets.Length, name);
        var last = new long[1];
        offsets.CopyTo(last, n);
        return last[0];
    }
}

/// <summary>The best k items of each query, exact, without the n × m scores.</summary>
public static unsafe class TopK
{
    /// <summary>Largest k.</summary>
    public const int MaxK = 4096;

    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="args">As in twintail.h.</param>
    /// <param name="k">In [1, 4096].</param>
    /// <param name="ids">[n, k], written: best first, equal scores by id, -1 where no item is left.</param>
    /// <param name="scores">[n, k] or null, written: -∞ where no item is left.</param>
    /// <exception cref="BadArgumentException">A size, index or pointer is wrong.</exception>
    public static void Invoke(Device device, in tt_retrieval_args args, int k, int* ids, float* scores)
    {
        tt_retrieval_args call = args;
        call.struct_size = sizeof(tt_retrieval_args);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_top_k(lease.Pointer, &call, k, ids, scores));
    }

    /// <summary>The same on buffers, whose lengths are checked.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="arguments">Queries and items.</param>
    /// <param name="k">In [1, 4096].</param>
    /// <param name="ids">[n, k], written: best first, equal scores by id, -1 where no item is left.</param>
    /// <param name="scores">[n, k] or null, written: -∞ where no item is left.</param>
    /// <exception cref="BadArgumentException">A size, index or length is wrong; names the argument.</exception>
    public static void Find(
        Device device, RetrievalArguments arguments, int k, DeviceBuffer<int> ids, DeviceBuffer<float>? scores = null)
    {
        long elements = Guard.Elements(arguments.N, k, "n", "k");
        Invoke(
            device,
            arguments.ToNative(device),
            k,
            Guard.Pointer(device, ids, elements, nameof(ids)),
            Guard.PointerOrNull(device, scores, elements, nameof(scores)));
        GC.KeepAlive((arguments, ids, scores));
    }

    /// <summary>The same on host arrays.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="queries">[n, d].</param>
    /// <param name="items">[m, d].</param>
    /// <param name="k">In [1, 4096].</param>
    /// <param name="similarity">How they are compared.</param>
    /// <exception cref="BadArgumentException">A size or length is wrong; names the argument.</exception>
    public static TopKResult Find(
        Device device, int d, float[] queries, float[] items, int k, Similarity similarity = Similarity.Cosine)
    {
        long n = Guard.Rows(queries, d, nameof(queries));
        long m = Guard.Rows(items, d, nameof(items));
        long elements = Guard.Elements(n, k, "n", "k");
        using DeviceBuffer<float> deviceQueries = device.Upload(queries);
        using DeviceBuffer<float> deviceItems = device.Upload(items);
        using DeviceBuffer<int> ids = device.Allocate<int>(elements);
        using DeviceBuffer<float> scores = device.Allocate<float>(elements);
        Find(device, new RetrievalArguments(n, m, d, deviceQueries, deviceItems, similarity), k, ids, scores);
        return new TopKResult(ids.ToArray(), scores.ToArray());
    }
}

/// <summary>What <see cref="TopK"/> gives on host arrays.</summary>
/// <param name="Ids">[n, k]: best first, -1 where no item is left.</param>
/// <param name="Scores">[n, k]: -∞ where no item is left.</param>
public sealed record TopKResult(int[] Ids, float[] Scores);

/// <summary>
/// The rank (1 = best) of given items among all that are not excluded, in the order of <see cref="TopK"/>: recall, NDCG and MRR over
/// the full ranking follow from it for every k at once.
/// </summary>
public static unsafe class Rank
{
    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="args">As in twintail.h.</param>
    /// <param name="targetOffsets">[n + 1].</param>
    /// <param name="targets">[targetOffsets[n]], in [0, m).</param>
    /// <param name="ranks">[targetOffsets[n]], written: -1 where the target itself is excluded.</param>
    /// <exception cref="BadArgumentException">A size, index or pointer is wrong.</exception>
    public static void Invoke(Device device, in tt_retrieval_args args, long* targetOffsets, int* targets, int* ranks)
    {
        tt_retrieval_args call = args;
        call.struct_size = sizeof(tt_retrieval_args);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_rank(lease.Pointer, &call, targetOffsets, targets, ranks));
    }

    /// <summary>The same on buffers, whose lengths are checked.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="arguments">Queries and items.</param>
    /// <param name="targetOffsets">[n + 1].</param>
    /// <param name="targets">[targetOffsets[n]], in [0, m).</param>
    /// <param name="ranks">[targetOffsets[n]], written: -1 where the target itself is excluded.</param>
    /// <exception cref="BadArgumentException">A size, index or length is wrong; names the argument.</exception>
    public static void Find(
        Device device,
        RetrievalArguments arguments,
        DeviceBuffer<long> targetOffsets,
        DeviceBuffer<int> targets,
        DeviceBuffer<int> ranks)
    {
        tt_retrieval_args args = arguments.ToNative(device);
        long* offsets = Guard.Pointer(device, targetOffsets, arguments.N + 1, nameof(targetOffsets));
        long entries = RetrievalArguments.Entries(targetOffsets, arguments.N, nameof(targetOffsets));
        Invoke(
            device,
            args,
            offsets,
            Guard.Pointer(device, targets, entries, nameof(targets)),
            Guard.Pointer(device, ranks, entries, nameof(ranks)));
        GC.KeepAlive((arguments, targetOffsets, targets, ranks));
    }
}
