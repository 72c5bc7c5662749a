using System.Runtime.InteropServices;
using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>
/// Reads embedding vectors by row of a feature table, with the augmentation of each view decided inside:
/// vectors[i, :] = concatenation over features of pool(vectors of the values kept). Views that follow each other with the same
/// rows are read in one pass.
/// </summary>
public static unsafe class EmbeddingGather
{
    /// <summary>Forward on raw pointers, for loops that allocate nothing. struct_size of the augmentations is filled in here.</summary>
    /// <param name="device">Where to compute; all device pointers must be valid there until it is done.</param>
    /// <param name="table">The features.</param>
    /// <param name="embeddings">Host [embeddingCount].</param>
    /// <param name="embeddingCount">Number of embedding tables.</param>
    /// <param name="views">Host [viewCount].</param>
    /// <param name="viewCount">Number of views.</param>
    /// <exception cref="BadArgumentException">A row, size, rate or pointer is wrong.</exception>
    public static void Forward(
        Device device, DeviceFeatureTable table, tt_embedding* embeddings, int embeddingCount, tt_gather_view* views, int viewCount)
    {
        FillSizes(views, viewCount);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_embedding_gather(
            lease.Pointer, table.Pointer, embeddings, embeddingCount, views, viewCount));
        GC.KeepAlive(table);
    }

    /// <summary>
    /// Gradient of Σ over views ⟨gradient in vectors, gathered vectors⟩ for each embedding table, duplicates merged; on raw pointers,
    /// for loops that allocate nothing.
    /// </summary>
    /// <param name="device">Where to compute; all device pointers must be valid there until it is done.</param>
    /// <param name="table">The features.</param>
    /// <param name="embeddings">Host [embeddingCount].</param>
    /// <param name="embeddingCount">Number of embedding tables.</param>
    /// <param name="views">Host [viewCount], as in the forward; vectors hold the gradients.</param>
    /// <param name="viewCount">Number of views.</param>
    /// <param name="gradients">Host [embeddingCount].</param>
    /// <exception cref="BadArgumentException">A capacity, row, size, rate or pointer is wrong.</exception>
    public static void Backward(
        Device device,
        DeviceFeatureTable table,
        tt_embedding* embeddings,
        int embeddingCount,
        tt_gather_view* views,
        int viewCount,
        tt_sparse_gradient* gradients)
    {
        FillSizes(views, viewCount);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_embedding_gather_backward(
            lease.Pointer, table.Pointer, embeddings, embeddingCount, views, viewCount, gradients));
        GC.KeepAlive(table);
    }

    /// <summary>
    /// Backward and optimiser step of every table at once, without storing the gradient, bit for bit as both calls; on raw
    /// pointers, for loops that allocate nothing.
    /// </summary>
    /// <param name="device">Where to compute; all device pointers must be valid there until it is done.</param>
    /// <param name="optimizer">As in twintail.h; struct_size is filled in here.</param>
    /// <param name="table">The features.</param>
    /// <param name="embeddings">Host [embeddingCount].</param>
    /// <param name="embeddingCount">Number of embedding tables.</param>
    /// <param name="views">Host [viewCount], as in the forward; vectors hold the gradients.</param>
    /// <param name="viewCount">Number of views.</param>
    /// <exception cref="BadArgumentException">A constant, row, size, rate or pointer is wrong.</exception>
    public static void Update(
        Device device,
        in tt_optimizer optimizer,
        DeviceFeatureTable table,
        tt_embedding* embeddings,
        int embeddingCount,
        tt_gather_view* views,
        int viewCount)
    {
        tt_optimizer call = optimizer;
        call.struct_size = sizeof(tt_optimizer);
        FillSizes(views, viewCount);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_embedding_gather_update(
            lease.Pointer, &call, table.Pointer, embeddings, embeddingCount, views, viewCount));
        GC.KeepAlive(table);
    }

    /// <summary>
    /// Forward on buffers, whose lengths are checked. Allocates nothing where <paramref name="views"/> is an array that the caller keeps.
    /// </summary>
    /// <exception cref="BadArgumentException">A row, size, rate or length is wrong; names the argument.</exception>
    public static void Forward(
        Device device, DeviceFeatureTable table, IReadOnlyList<EmbeddingTable> embeddings, params GatherView[] views)
    {
        using var call = new GatherCall(device, table, embeddings, views, needsVectors: true);
        Forward(device, table, call.Embeddings, embeddings.Count, call.Views, views.Length);
        GC.KeepAlive(embeddings);
    }

    /// <summary>Backward on buffers, whose lengths are checked. The views' vectors hold the gradients.</summary>
    /// <returns>The gradient of each embedding table; dispose them.</returns>
    /// <exception cref="BadArgumentException">A row, size, rate or length is wrong; names the argument.</exception>
    public static SparseGradient[] Backward(
        Device device, DeviceFeatureTable table, IReadOnlyList<EmbeddingTable> embeddings, params GatherView[] views)
    {
        using var call = new GatherCall(device, table, embeddings, views, needsVectors: true);
        var gradients = new SparseGradient[embeddings.Count];
        var native = new tt_sparse_gradient[embeddings.Count];
        for (int e = 0; e < gradients.Length; e++)
        {
            // As many rows as the table has always suffice; fewer lookups than that are not worth counting here.
            gradients[e] = new SparseGradient(device, embeddings[e].Rows, embeddings[e].Dim);
            native[e] = gradients[e].ToNative();
        }

        fixed (tt_sparse_gradient* first = native)
        {
            Backward(device, table, call.Embeddings, embeddings.Count, call.Views, views.Length, first);
        }

        GC.KeepAlive(embeddings);
        return gradients;
    }

    /// <summary>Backward and optimiser step on buffers, whose lengths are checked. The views' vectors hold the gradients.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="optimizer">Rule and constants.</param>
    /// <param name="step">Counted from 1.</param>
    /// <param name="table">The features.</param>
    /// <param name="embeddings">The tables with the optimiser's state.</param>
    /// <param name="views">As in the forward.</param>
    /// <exception cref="BadArgumentException">A constant, row, size, rate or length is wrong; names the argument.</exception>
    public static void Update(
        Device device,
        Optimizer optimizer,
        long step,
        DeviceFeatureTable table,
        IReadOnlyList<EmbeddingTable> embeddings,
        params GatherView[] views)
    {
        using var call = new GatherCall(device, table, embeddings, views, needsVectors: true);
        Update(device, optimizer.ToNative(step), table, call.Embeddings, embeddings.Count, call.Views, views.Length);
        GC.KeepAlive(embeddings);
    }

    /// <summary>Which values of a feature a view keeps, for previews and tests; the view's vectors are not needed.</summary>
    /// <exception cref="BadArgumentException">A row, rate or feature is wrong; names the argument.</exception>
    public static AugmentedValues Preview(Device device, DeviceFeatureTable table, GatherView view, int feature)
    {
        using var call = new GatherCall(device, table, Array.Empty<EmbeddingTable>(), new[] { view }, needsVectors: false);
        using DeviceBuffer<ulong> masks = device.Allocate<ulong>(view.N);
        using DeviceBuffer<long> offsets = device.Allocate<long>(view.N + 1);
        using (ContextLease lease = device.Handle.Enter())
        {
            Status.Check(NativeMethods.tt_augmented_values(
                lease.Pointer, table.Pointer, call.Views, feature, masks.Pointer, offsets.Pointer, null, 0));
        }

        long[] hostOffsets = offsets.ToArray();
        using DeviceBuffer<int> values = device.Allocate<int>(hostOffsets[view.N]);
        using (ContextLease lease = device.Handle.Enter())
        {
            Status.Check(NativeMethods.tt_augmented_values(
                lease.Pointer, table.Pointer, call.Views, feature, null, offsets.Pointer, values.Pointer, values.Length));
        }

        GC.KeepAlive(table);
        return new AugmentedValues(masks.ToArray(), hostOffsets, values.ToArray());
    }

    private static void FillSizes(tt_gather_view* views, int viewCount)
    {
        for (int v = 0; v < viewCount; v++)
        {
            if (views[v].augmentation != null)
            {
                views[v].augmentation->struct_size = sizeof(tt_augmentation);
            }
        }
    }
}

/// <summary>What an augmented view keeps of one feature.</summary>
/// <param name="Masks">[n]: bit f is set where feature f is masked as a whole.</param>
/// <param name="Offsets">[n + 1]: row i keeps Values[Offsets[i] .. Offsets[i + 1]).</param>
/// <param name="Values">Value ids; a feature that is masked or left empty has the single value 0.</param>
public sealed record AugmentedValues(ulong[] Masks, long[] Offsets, int[] Values);

/// <summary>The gradient of an embedding table: touched rows, ascending, each once.</summary>
public sealed unsafe class SparseGradient : IDisposable
{
    private readonly DeviceBuffer<long> _count;

    internal SparseGradient(Device device, long capacity, int dim)
    {
        Ids = device.Allocate<int>(capacity);
        Values = device.Allocate<float>(capacity * dim);
        _count = device.Allocate<long>(1);
    }

    /// <summary>[capacity], the first <see cref="Count"/> are valid.</summary>
    public DeviceBuffer<int> Ids { get; }

    /// <summary>[capacity, dim].</summary>
    public DeviceBuffer<float> Values { get; }

    /// <summary>Number of touched rows; waits for the device.</summary>
    public long Count => _count.ToArray()[0];

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        Ids.Dispose();
        Values.Dispose();
        _count.Dispose();
    }

    internal tt_sparse_gradient ToNative() => new()
    {
        ids = Ids.Pointer,
        values = Values.Pointer,
        count = _count.Pointer,
        capacity = Ids.Length,
    };
}

/// <summary>The arguments of a gather in native form, in unmanaged memory for the time of the call.</summary>
internal readonly unsafe ref struct GatherCall
{
    private readonly IntPtr _memory;

    public GatherCall(
        Device device, DeviceFeatureTable table, IReadOnlyList<EmbeddingTable> embeddings, GatherView[] views, bool needsVectors)
    {
        int features = table.Features.Count;
        int viewBytes = sizeof(tt_gather_view) + sizeof(tt_augmentation) + (features * sizeof(ulong));
        _memory = Marshal.AllocHGlobal((embeddings.Count * sizeof(tt_embedding)) + (views.Length * viewBytes));
        try
        {
            Embeddings = (tt_embedding*)_memory;
            Views = (tt_gather_view*)(Embeddings + embeddings.Count);
            var augmentations = (tt_augmentation*)(Views + views.Length);
            var correlated = (ulong*)(augmentations + views.Length);
            for (int e = 0; e < embeddings.Count; e++)
            {
                Embeddings[e] = embeddings[e].ToNative();
            }

            long width = needsVectors ? Width(table, embeddings) : 0;
            for (int v = 0; v < views.Length; v++)
            {
                Views[v] = ToNative(device, views[v], width, needsVectors);
                if (views[v].Augmentation is { } augmentation)
                {
                    ulong* sets = Copy(augmentation.Correlated, features, correlated + (v * features));
                    augmentations[v] = augmentation.ToNative(sets);
                    Views[v].augmentation = augmentations + v;
                }
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public tt_embedding* Embeddings { get; }

    public tt_gather_view* Views { get; }

    public void Dispose() => Marshal.FreeHGlobal(_memory);

    private static long Width(DeviceFeatureTable table, IReadOnlyList<EmbeddingTable> embeddings)
    {
        long width = 0;
        for (int f = 0; f < table.Features.Count; f++)
        {
            int e = table.Features[f].Embedding;
            if ((uint)e >= (uint)embeddings.Count)
            {
                throw new BadArgumentException($"features[{f}].embedding", $"an index in [0, {embeddings.Count})", $"{e}");
            }

            width += embeddings[e].Dim;
        }

        return width;
    }

    private static tt_gather_view ToNative(Device device, GatherView view, long width, bool needsVectors)
    {
        long ld = view.LeadingDimension > 0 ? view.LeadingDimension : width;
        tt_gather_view native = default;
        native.rows = Guard.Pointer(device, view.Rows, view.N, "rows");
        native.left_out = Guard.PointerOrNull(device, view.LeftOut, view.N, "left_out");
        native.n = view.N;
        native.ld = ld;
        native.row_base = view.RowBase;
        native.view = view.View;
        if (needsVectors)
        {
            Guard.AtLeast(width, ld, "ld");
            Guard.AtLeast(0, view.VectorsOffset, "vectors_offset");
            long needed = view.VectorsOffset + (view.N == 0 ? 0 : ((view.N - 1) * ld) + width);
            native.vectors = Guard.Pointer(device, view.Vectors!, needed, "vectors") + view.VectorsOffset;
        }

        return native;
    }

    private static ulong* Copy(ulong[]? sets, int features, ulong* to)
    {
        if (sets == null)
        {
            return null;
        }

        Guard.Length(sets, features, "correlated");
        for (int f = 0; f < features; f++)
        {
            to[f] = sets[f];
        }

        return to;
    }
}
