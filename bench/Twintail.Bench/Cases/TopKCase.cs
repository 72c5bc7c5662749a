using Twintail.Bench.Data;
using Twintail.Bench.Ours;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;

namespace Twintail.Bench.Cases;

/// <summary>The best 100 of m items of width d for each of n users, without those that the user has clicked.</summary>
internal sealed class TopKCase : BenchCase
{
    public const string Name = "top_k_100";

    private const int K = 100;

    /// <summary>Block and group of the best peer, found by trying 16 to 256 users and 16 to 80 items.</summary>
    private const int BlockUsers = 256;
    private const int Group = 32;

    public TopKCase(CaseId id, CaseOptions options)
        : base(id)
    {
        var data = new RetrievalData(id.N, id.M, id.D);
        foreach (var (name, isa) in options.OursInFloat32())
        {
            Add(new TopKFused(name, data, K, Device.Cpu(options.Threads, isa)));
        }

        if (options.Has(Lineup.TorchNaive))
        {
            Add(new TopKNaive(data, K));
        }

        if (options.Has(Lineup.TorchBest))
        {
            Add(new TopKBlocked(data, K, BlockUsers, Group));
        }
    }

    /// <summary>The scores alone; selecting is not counted.</summary>
    public override Work Work => Work.Flops(2.0 * Id.N * Id.M * Id.D);

    /// <summary>Scores must agree; ids may be exchanged where two scores are the same but for rounding.</summary>
    public override void Verify()
    {
        base.Verify();
        Contender reference = Contenders.FirstOrDefault(c => c.Role == Role.Naive) ?? Contenders[0];
        Output expected = reference.Outputs().Single(output => output.Name == "ids");
        foreach (Contender contender in Contenders.Where(c => c != reference))
        {
            Output ids = contender.Outputs().Single(output => output.Name == "ids");
            long exchanged = 0;
            for (long i = 0; i < ids.Length; i++)
            {
                exchanged += ids[i] == expected[i] ? 0 : 1;
            }

            if (exchanged > ids.Length / 1000)
            {
                throw new WrongResultException($"{Id}: {exchanged} of {ids.Length} ids of {contender.Name} differ from {reference.Name}");
            }
        }
    }

    protected override double Tolerance(string dtype, string output) =>
        output == "ids" ? double.PositiveInfinity : base.Tolerance(dtype, output);
}
