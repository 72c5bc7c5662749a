using Twintail.Bench.Machine;
using Twintail.Bench.Running;

namespace Twintail.Bench.Growth;

/// <summary>
/// Measures time against size, each point in two processes of its own, and plots it with a line for the floor: the least work over the
/// machine's peak. Options: [--quick] [--threads N] [--out DIR] [--plots DIR] [--redraw] (from the records of the last run)
/// </summary>
internal static class GrowthCommand
{
    public static int Run(Options options)
    {
        Console.WriteLine(MachineInfo.Describe(options.Threads));
        string records = Path.Combine(options.Folder, "growth.jsonl");
        string plots = options.Get("plots", Path.Combine(Options.Root, "docs", "plots"));
        bool isRight = true;
        if (!options.Has("redraw"))
        {
            File.Delete(records);
        }

        foreach (GrowthSeries series in GrowthPlan.Create(options.Quick, options.Threads))
        {
            foreach (GrowthPoint point in series.Points.Where(_ => !options.Has("redraw")))
            {
                Console.WriteLine($"{series.Name}: {point.Id}, {point.Threads} threads");
                isRight &= Measure(point, PeerSettings.Allocator, records);
                isRight &= Measure(point, PeerSettings.AllocatorPassive, records);
            }

            string path = Path.Combine(Directory.CreateDirectory(plots).FullName, series.Name + ".png");
            bool isDrawn = GrowthPlot.Save(series, JsonLines.Read<TimingRecord>(records), path);
            Console.WriteLine(isDrawn ? path : $"{series.Name}: no record of it in {records}");
        }

        return isRight ? 0 : 1;
    }

    // The peers' better settings, the one on an idle machine, the other where the cores are shared; everyone's faster one is drawn.
    private static bool Measure(GrowthPoint point, PeerSettings settings, string records) => ChildProcess.RunSelf(
        settings.Variables,
        "measure",
        "--quick",
        "--case",
        point.Id.ToString(),
        "--contenders",
        string.Join(',', point.Contenders),
        "--threads",
        point.Threads.ToString(),
        "--settings",
        settings.Name,
        "--records",
        records) == 0;
}
