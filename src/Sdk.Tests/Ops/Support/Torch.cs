using System.Runtime;
using TorchSharp;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

/// <summary>Small helpers over TorchSharp, the oracle.</summary>
internal static class Torch
{
    static Torch()
    {
        // Its threads would spin beside ours.
        set_num_threads(1);
    }

    /// <summary>
    /// A scope for tensors during which nothing is collected: TorchSharp passes its scalars to native code without keeping them
    /// alive, so that a collection at the wrong moment makes it fail with "Unknown scalar type".
    /// </summary>
    public static IDisposable Scope() => new UncollectedScope();

    public static Tensor Of(float[] values, ScalarType type, params long[] shape) =>
        tensor(values, dtype: ScalarType.Float32).to(type).reshape(shape);

    public static Tensor Leaf(float[] values, ScalarType type, params long[] shape) =>
        Of(values, type, shape).detach().requires_grad_(true);

    public static Tensor Index(int[] values) => tensor(values, dtype: ScalarType.Int64);

    /// <summary>The columns in another order: sums over them round differently.</summary>
    public static Tensor Reordered(Tensor matrix, int[]? order) =>
        order == null ? matrix : matrix.index_select(1, Index(order));

    public static double[] Values(Tensor t) => t.detach().to(ScalarType.Float64).contiguous().cpu().data<double>().ToArray();

    public static double[] Gradient(Tensor leaf) =>
        leaf.grad is { } gradient ? Values(gradient) : new double[leaf.numel()];

    /// <summary>The same directions of rows, in numbers that round otherwise: columns in another order, rows of another length.</summary>
    public static Tensor Varied(Tensor matrix, int[]? order, Draw? draw) => order == null || draw == null
        ? matrix
        : Reordered(matrix, order) * Of(draw.Uniforms(matrix.shape[0], 1, 2), matrix.dtype, matrix.shape[0], 1);

    /// <summary>Rows scaled to length 1; rows with norm below 1e-12 become zero and get no gradient.</summary>
    public static Tensor Unit(Tensor rows)
    {
        Tensor squares = (rows * rows).sum(1, keepdim: true);
        Tensor counts = squares.detach().sqrt() >= 1e-12;
        Tensor norm = where(counts, squares, ones_like(squares)).sqrt();
        return where(counts, rows / norm, zeros_like(rows));
    }

    private sealed class UncollectedScope : IDisposable
    {
        private const long ManagedBytes = 16 << 20;

        private readonly DisposeScope _tensors = NewDisposeScope();

        // The latency mode tells whether the region is still on: allocating more than was asked for ends it.
        private readonly bool _isOurs =
            GCSettings.LatencyMode != GCLatencyMode.NoGCRegion && GC.TryStartNoGCRegion(ManagedBytes);

        public void Dispose()
        {
            _tensors.Dispose();
            if (_isOurs && GCSettings.LatencyMode == GCLatencyMode.NoGCRegion)
            {
                GC.EndNoGCRegion();
            }
        }
    }
}
