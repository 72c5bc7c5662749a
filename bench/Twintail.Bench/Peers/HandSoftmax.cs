using TorchSharp;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// The in-batch softmax over cosines as well as we can write it with stock ops: the gradient derived by hand, rows in blocks
/// so that the exponentials stay in cache, everything in place and in buffers that are kept. Unit vectors bound the logits, so
/// no maximum is taken; with e = exp(s) and r_i = Σ_j e_ij the gradients of the mean loss are
///   ∂L/∂q̂_i = (Σ_j e_ij ĉ_j / r_i − ĉ_i) / (n τ),   ∂L/∂ĉ_j = (Σ_i e_ij q̂_i / r_i − q̂_j) / (n τ)
/// and 1/r is applied to the narrow operands, never to the block. The positive of row i is column i, n = m.
/// </summary>
internal sealed class HandSoftmax(int n, int d, float temperature, bool backward, int blockRows = 128) : IDisposable
{
    private Tensor? _block;
    private Tensor? _gradQueries;
    private Tensor? _gradCandidates;

    /// <summary>[n, d], of the last <see cref="Run"/>; overwritten by the next.</summary>
    public Tensor GradQueries => _gradQueries!;

    /// <summary>[n, d], of the last <see cref="Run"/>; overwritten by the next.</summary>
    public Tensor GradCandidates => _gradCandidates!;

    /// <summary>Computes the mean loss (float64 [1]) and <paramref name="scale"/> times its gradients.</summary>
    /// <param name="queries">[n, d].</param>
    /// <param name="candidates">[n, d].</param>
    /// <param name="minusLogQ">[n], or null.</param>
    /// <param name="hits">Accidental hits, which are left out; null: none.</param>
    /// <param name="scale">Of the gradients.</param>
    public Tensor Run(Tensor queries, Tensor candidates, Tensor? minusLogQ, AccidentalHits? hits = null, float scale = 1)
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var queryNorms = queries.norm(1, true);
        var candidateNorms = candidates.norm(1, true);
        var q = queries / queryNorms;
        var c = candidates / candidateNorms;
        var scaled = q * (1 / temperature);
        EnsureBuffers();
        var positives = (scaled * c).sum(1);
        _ = minusLogQ is null ? positives : positives.add_(minusLogQ);
        var loss = RowBlocks(scaled, c, minusLogQ, hits).sub_(positives.sum(type: ScalarType.Float64)).div_(n);
        if (backward)
        {
            ThroughNormalisation(_gradQueries!.sub_(c).mul_(scale / (temperature * n)), q, queryNorms);
            ThroughNormalisation(_gradCandidates!.sub_(scaled).mul_(scale / n), c, candidateNorms);
        }

        return loss.MoveToOuterDisposeScope();
    }

    public void Dispose()
    {
        _block?.Dispose();
        _gradQueries?.Dispose();
        _gradCandidates?.Dispose();
    }

    /// <summary>Unnormalised gradients of all rows; returns Σ_i log r_i.</summary>
    private Tensor RowBlocks(Tensor scaled, Tensor c, Tensor? minusLogQ, AccidentalHits? hits)
    {
        using var scope = NewDisposeScope();
        var ct = c.t();
        var logSums = zeros(1, dtype: ScalarType.Float64);
        _gradCandidates?.zero_();
        for (int begin = 0; begin < n; begin += blockRows)
        {
            using var inner = NewDisposeScope();
            int rows = Math.Min(blockRows, n - begin);
            var block = _block!.narrow(0, 0, rows);
            var blockQueries = scaled.narrow(0, begin, rows);
            _ = minusLogQ is null ? block.addmm_(blockQueries, ct, 0, 1) : block.copy_(minusLogQ).addmm_(blockQueries, ct);
            block.exp_();
            hits?.Clear(block, begin, rows);
            var sums = block.sum(1, true);
            logSums.add_(sums.log().sum(type: ScalarType.Float64));
            if (backward)
            {
                var inverse = sums.reciprocal_();
                _gradQueries!.narrow(0, begin, rows).copy_(block.mm(c).mul_(inverse));
                _gradCandidates!.addmm_(block.t(), blockQueries * inverse);
            }
        }

        return logSums.MoveToOuterDisposeScope();
    }

    /// <summary>g becomes (g − (g·x) x) / norm: the Jacobian of the normalisation.</summary>
    private static void ThroughNormalisation(Tensor gradient, Tensor unit, Tensor norms)
    {
        var along = (unit * gradient).sum(1, true);
        gradient.addcmul_(unit, along, value: -1).div_(norms);
    }

    private void EnsureBuffers()
    {
        if (_block is not null)
        {
            return;
        }

        _block = empty(Math.Min(blockRows, n), n).DetachFromDisposeScope();
        if (backward)
        {
            _gradQueries = empty(n, d).DetachFromDisposeScope();
            _gradCandidates = empty(n, d).DetachFromDisposeScope();
        }
    }
}

/// <summary>Columns that are the same item as their row's positive, found on the host: a few of n².</summary>
internal sealed class AccidentalHits(int n)
{
    private readonly List<long> _columns = [];
    private readonly int[] _starts = new int[n + 1];
    private readonly Dictionary<int, List<int>> _places = [];

    /// <summary>Takes the item of each column.</summary>
    public void Find(ReadOnlySpan<int> items)
    {
        foreach (List<int> places in _places.Values)
        {
            places.Clear();
        }

        for (int i = 0; i < items.Length; i++)
        {
            if (!_places.TryGetValue(items[i], out List<int>? places))
            {
                _places.Add(items[i], places = []);
            }

            places.Add(i);
        }

        _columns.Clear();
        for (int i = 0; i < items.Length; i++)
        {
            foreach (int j in _places[items[i]])
            {
                if (j != i)
                {
                    _columns.Add(j);
                }
            }

            _starts[i + 1] = _columns.Count;
        }
    }

    /// <summary>Sets the hits in rows [begin, begin + rows) to 0.</summary>
    public void Clear(Tensor block, int begin, int rows)
    {
        int count = _starts[begin + rows] - _starts[begin];
        if (count == 0)
        {
            return;
        }

        var columns = new long[count];
        var owners = new long[count];
        _columns.CopyTo(_starts[begin], columns, 0, count);
        for (int row = 0; row < rows; row++)
        {
            owners.AsSpan((_starts[begin + row] - _starts[begin])..(_starts[begin + row + 1] - _starts[begin])).Fill(row);
        }

        block.index_put_(0f, tensor(owners), tensor(columns));
    }
}
