using TorchSharp;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>The loss by <see cref="HandSoftmax"/>.</summary>
internal sealed class LossHand : Contender
{
    private readonly bool _backward;
    private readonly HandSoftmax _softmax;
    private readonly Tensor _queries;
    private readonly Tensor _candidates;
    private readonly Tensor _minusLogQ;
    private readonly float[] _loss = GC.AllocateArray<float>(1, pinned: true);

    public LossHand(LossData data, bool backward)
        : base("torchsharp-best", Role.Best)
    {
        if (data.N != data.M)
        {
            throw new ArgumentException($"expected as many candidates as queries, got {data.N} and {data.M}", nameof(data));
        }

        _backward = backward;
        _softmax = new HandSoftmax(data.N, data.D, LossData.Temperature, backward);
        _queries = Torch.From(data.Queries, data.N, data.D);
        _candidates = Torch.From(data.Candidates, data.M, data.D);
        using Tensor logQ = Torch.From(data.LogQ, data.M);
        _minusLogQ = logQ.neg().DetachFromDisposeScope();
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        _loss[0] = (float)_softmax.Run(_queries, _candidates, _minusLogQ).item<double>();
    }

    public override IEnumerable<Output> Outputs()
    {
        var outputs = new List<Output> { LossOutputs.Loss(_loss) };
        if (_backward)
        {
            outputs.Add(Torch.View(LossOutputs.GradQueries, _softmax.GradQueries));
            outputs.Add(Torch.View(LossOutputs.GradCandidates, _softmax.GradCandidates));
        }

        return outputs;
    }

    public override void Dispose()
    {
        _softmax.Dispose();
        _queries.Dispose();
        _candidates.Dispose();
        _minusLogQ.Dispose();
    }
}
