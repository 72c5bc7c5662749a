using Twintail.Bench.Cases;

namespace Twintail.Bench.Running;

/// <summary>A case of a plan.</summary>
/// <param name="Group">Cases of a group are measured by one process.</param>
/// <param name="Id">Work and size.</param>
/// <param name="Contenders">Who does it.</param>
/// <param name="Memory">Whether peak memory is measured too, in a process for each contender.</param>
internal sealed record PlanItem(string Group, CaseId Id, IReadOnlyList<string> Contenders, bool Memory);

/// <summary>What is measured: the sizes of the project's goals, or for a quick run some of them.</summary>
internal static class Plan
{
    private static readonly string[] OnlyTwintailFast = [Lineup.Twintail, "twintail-avx2", Lineup.TorchBest];

    public static IReadOnlyList<PlanItem> Full { get; } =
    [
        .. from d in new[] { 64, 128 }
           from n in new[] { 1024, 4096, 8192, 16384 }
           select new PlanItem("loss", new CaseId(LossCase.ForwardBackward, n, n, d), n == 8192 ? Lineup.WithVariants : Lineup.Everybody, true),
        .. from n in new[] { 4096, 8192 }
           select new PlanItem("loss", new CaseId(LossCase.Forward, n, n, 64), Lineup.Everybody, n == 8192),
        new("gather", new CaseId(GatherCase.Forward, 8192, 1_000_000, 320), Lineup.Everybody, false),
        new("gather", new CaseId(GatherCase.Step, 8192, 1_000_000, 320), Lineup.Everybody, true),
        new("step", new CaseId(StepCase.Name, 4096, 2048, 64), Lineup.Everybody, true),
        new("top_k", new CaseId(TopKCase.Name, 10_000, 100_000, 64), Lineup.Everybody, true),
    ];

    public static IReadOnlyList<PlanItem> Quick { get; } =
    [
        new("loss", new CaseId(LossCase.ForwardBackward, 1024, 1024, 64), Lineup.WithVariants, true),
        new("loss", new CaseId(LossCase.ForwardBackward, 4096, 4096, 64), Lineup.Everybody, true),
        new("loss", new CaseId(LossCase.Forward, 4096, 4096, 64), OnlyTwintailFast, false),
        new("gather", new CaseId(GatherCase.Forward, 8192, 100_000, 320), Lineup.Everybody, false),
        new("gather", new CaseId(GatherCase.Step, 8192, 100_000, 320), Lineup.Everybody, true),
        new("step", new CaseId(StepCase.Name, 4096, 2048, 64), Lineup.Everybody, false),
        new("top_k", new CaseId(TopKCase.Name, 1000, 32_000, 64), Lineup.Everybody, false),
    ];

    public static IReadOnlyList<PlanItem> Of(bool quick) => quick ? Quick : Full;
}
