using TorchSharp;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;

namespace Twintail.Bench.Peers;

/// <summary>The loss as a TorchSharp user writes it: normalise, one matrix product, cross entropy, autograd.</summary>
internal sealed class LossNaive : Contender
{
    private readonly Tensor _queries;
    private readonly Tensor _candidates;
    private readonly Tensor _logQ;
    private readonly Tensor _labels;
    private readonly bool _backward;
    private readonly float[] _loss = GC.AllocateArray<float>(1, pinned: true);

    public LossNaive(LossData data, bool backward)
        : base("torchsharp-naive", Role.Naive)
    {
        _queries = Torch.Parameter(data.Queries, data.N, data.D);
        _candidates = Torch.Parameter(data.Candidates, data.M, data.D);
        _logQ = Torch.From(data.LogQ, data.M);
        _labels = arange(data.N, dtype: ScalarType.Int64).DetachFromDisposeScope();
        _backward = backward;
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = _backward ? null : no_grad();
        var q = F.normalize(_queries, 2, 1);
        var c = F.normalize(_candidates, 2, 1);
        var logits = (matmul(q, c.t()) / LossData.Temperature) - _logQ;
        var loss = F.cross_entropy(logits, _labels);
        _loss[0] = loss.item<float>();
        if (_backward)
        {
            _queries.grad?.zero_();
            _candidates.grad?.zero_();
            loss.backward();
        }
    }

    public override unsafe IEnumerable<Output> Outputs()
    {
        var outputs = new List<Output> { LossOutputs.Loss(_loss) };
        if (_backward)
        {
            outputs.Add(Torch.View(LossOutputs.GradQueries, _queries.grad!));
            outputs.Add(Torch.View(LossOutputs.GradCandidates, _candidates.grad!));
        }

        return outputs;
    }

    public override void Dispose()
    {
        _queries.grad?.Dispose();
        _candidates.grad?.Dispose();
        _queries.Dispose();
        _candidates.Dispose();
        _logQ.Dispose();
        _labels.Dispose();
    }
}

/// <summary>Names of a loss's results.</summary>
internal static class LossOutputs
{
    public const string GradQueries = "grad_queries";

    public const string GradCandidates = "grad_candidates";

    /// <summary>The mean loss; the array must be pinned.</summary>
    public static unsafe Output Loss(float[] pinned) =>
        new("loss", System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(pinned, 0), 1);
}
