using Twintail.Bench.Data;
using Twintail.Bench.Ours;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;

namespace Twintail.Bench.Cases;

/// <summary>The in-batch softmax with logQ correction, τ = 0.05: n queries, m candidates, width d.</summary>
internal sealed class LossCase : BenchCase
{
    public const string Forward = "loss_forward";

    public const string ForwardBackward = "loss_forward_backward";

    private readonly bool _backward;

    public LossCase(CaseId id, CaseOptions options)
        : base(id)
    {
        _backward = id.Case == ForwardBackward;
        var data = new LossData(id.N, id.M, id.D);
        foreach (var (name, isa, precision) in options.Ours())
        {
            Add(new LossFused(name, data, _backward, Device.Cpu(options.Threads, isa), precision));
        }

        if (options.Has(Lineup.TorchNaive))
        {
            Add(new LossNaive(data, _backward));
        }

        if (options.Has(Lineup.TorchBest))
        {
            Add(new LossHand(data, _backward));
        }
    }

    /// <summary>Two flops a multiply-add; one product of n × m × d forward, three with both gradients; exponentials are not counted.</summary>
    public override Work Work => Work.Flops((_backward ? 6.0 : 2.0) * Id.N * Id.M * Id.D);
}
