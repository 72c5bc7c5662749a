using Twintail.Bench.Cases;

namespace Twintail.Bench.Running;

/// <summary>
/// Compares the results of all contenders on small inputs, and times nothing: Twintail on every instruction set and in
/// bfloat16, and both peers. Options: [--threads N]
/// </summary>
internal static class VerifyCommand
{
    private static readonly CaseId[] Cases =
    [
        new(LossCase.Forward, 300, 300, 64),
        new(LossCase.ForwardBackward, 300, 300, 64),
        new(LossCase.ForwardBackward, 129, 129, 40),
        new(GatherCase.Forward, 300, 5000, 320),
        new(GatherCase.Step, 300, 5000, 320),
        new(TopKCase.Name, 300, 6400, 40),
        new(StepCase.Name, 256, 128, 64),
    ];

    public static int Run(Options options)
    {
        TorchSharp.torch.set_num_threads(options.Threads);
        bool isRight = true;
        foreach (CaseId id in Cases)
        {
            var contenders = Lineup.Supported(Lineup.WithVariants);
            using BenchCase @case = CaseFactory.Create(id, new CaseOptions(options.Threads, contenders));
            try
            {
                @case.Verify();
                Console.WriteLine($"{id}: {string.Join(", ", @case.Contenders.Select(c => c.Name))} agree");
            }
            catch (WrongResultException error)
            {
                Console.Error.WriteLine(error.Message);
                isRight = false;
            }
        }

        return isRight ? 0 : 1;
    }
}
