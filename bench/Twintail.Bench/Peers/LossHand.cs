using TorchSharp;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// The loss as well as we can write it with stock ops: the gradient derived by hand, rows in blocks so that the exponentials stay
/// in cache, everything in place and in buffers that are kept. With unit vectors the logits are bounded, so no maximum
/// is taken; with e = exp(s) and r_i = Σ_j e_ij the gradients are
///   ∂L/∂q̂_i = (Σ_j e_ij ĉ_j / r_i − ĉ_i) / (n τ),   ∂L/∂ĉ_j = (Σ_i e_ij q̂_i / r_i − q̂_j) / (n τ)
/// and 1/r is applied to the narrow operands, never to the block.
/// </summary>
internal sealed class LossHand : Contender
{
    private readonly LossData _data;
    private readonly int _blockRows;
    private readonly bool _backward;
    private readonly Tensor _queries;
    private readonly Tensor _candidates;
    private readonly Tensor _minusLogQ;
    private readonly float[] _loss = GC.AllocateArray<float>(1, pinned: true);
    private Tensor? _block;
    private Tensor? _gradQueries;
    private Tensor? _gradCandidates;

    public LossHand(LossData data, bool backward, int blockRows = 128)
        : base("torchsharp-best", Role.Best)
    {
        if (data.N != data.M)
        {
            throw new ArgumentException($"expected as many candidates as queries, got {data.N} and {data.M}", nameof(data));
        }

        _data = data;
        _blockRows = blockRows;
        _backward = backward;
        _queries = Torch.From(data.Queries, data.N, data.D);
        _candidates = Torch.From(data.Candidates, data.M, data.D);
        using Tensor logQ = Torch.From(data.LogQ, data.M);
        _minusLogQ = logQ.neg().DetachFromDisposeScope();
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        const float scale = 1 / LossData.Temperature;
        var queryNorms = _queries.norm(1, true);
        var candidateNorms = _candidates.norm(1, true);
        var q = _queries / queryNorms;
        var c = _candidates / candidateNorms;
        var scaled = q * scale;
        EnsureBuffers();
        var positives = (scaled * c).sum(1).add_(_minusLogQ);
        double logSums = RowBlocks(scaled, c);
        _loss[0] = (float)((logSums - positives.sum(type: ScalarType.Float64).item<double>()) / _data.N);
        if (_backward)
        {
            ThroughNormalisation(_gradQueries!.sub_(c).mul_(scale / _data.N), q, queryNorms);
            ThroughNormalisation(_gradCandidates!.sub_(scaled).mul_(1f / _data.N), c, candidateNorms);
        }
    }

    public override IEnumerable<Output> Outputs()
    {
        var outputs = new List<Output> { LossOutputs.Loss(_loss) };
        if (_backward)
        {
            outputs.Add(Torch.View(LossOutputs.GradQueries, _gradQueries!));
            outputs.Add(Torch.View(LossOutputs.GradCandidates, _gradCandidates!));
        }

        return outputs;
    }

    public override void Dispose()
    {
        _queries.Dispose();
        _candidates.Dispose();
        _minusLogQ.Dispose();
        _block?.Dispose();
        _gradQueries?.Dispose();
        _gradCandidates?.Dispose();
    }

    /// <summary>Unnormalised gradients of all rows; returns Σ_i log r_i.</summary>
    private double RowBlocks(Tensor scaled, Tensor c)
    {
        using var scope = NewDisposeScope();
        var ct = c.t();
        var logSums = zeros(1, dtype: ScalarType.Float64);
        _gradCandidates?.zero_();
        for (int begin = 0; begin < _data.N; begin += _blockRows)
        {
            using var inner = NewDisposeScope();
            int rows = Math.Min(_blockRows, _data.N - begin);
            var block = _block!.narrow(0, 0, rows);
            var blockQueries = scaled.narrow(0, begin, rows);
            block.copy_(_minusLogQ).addmm_(blockQueries, ct).exp_();
            var sums = block.sum(1, true);
            logSums.add_(sums.log().sum(type: ScalarType.Float64));
            if (_backward)
            {
                var inverse = sums.reciprocal_();
                _gradQueries!.narrow(0, begin, rows).copy_(block.mm(c).mul_(inverse));
                _gradCandidates!.addmm_(block.t(), blockQueries * inverse);
            }
        }

        return logSums.item<double>();
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

        _block = empty(Math.Min(_blockRows, _data.N), _data.M).DetachFromDisposeScope();
        if (_backward)
        {
            _gradQueries = empty(_data.N, _data.D).DetachFromDisposeScope();
            _gradCandidates = empty(_data.M, _data.D).DetachFromDisposeScope();
        }
    }
}
