using Twintail.Bench.Running;

namespace Twintail.Bench.Cases;

internal static class CaseFactory
{
    /// <summary>Makes the input and the contenders of a case.</summary>
    public static BenchCase Create(CaseId id, CaseOptions options) => id.Case switch
    {
        LossCase.Forward or LossCase.ForwardBackward => new LossCase(id, options),
        GatherCase.Forward or GatherCase.Step => new GatherCase(id, options),
        StepCase.Name => new StepCase(id, options),
        TopKCase.Name => new TopKCase(id, options),
        _ => throw new ArgumentException($"case: expected a known one, got '{id.Case}'", nameof(id)),
    };
}
