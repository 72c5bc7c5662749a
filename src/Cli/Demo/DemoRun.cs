using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Cli.Commands;
using Twintail.Cli.Reports;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Cli.Demo;

/// <summary>What one model of the demo reached.</summary>
/// <param name="Name">How it was trained.</param>
/// <param name="Warm">Test clicks on warm items, these ranked.</param>
/// <param name="Cold">Test clicks on cold items, these ranked.</param>
/// <param name="All">Both, all items ranked.</param>
internal sealed record DemoOutcome(string Name, EvaluationReport Warm, EvaluationReport Cold, EvaluationReport All);

/// <summary>
/// Makes a synthetic catalogue, trains (a) with the plain in-batch softmax, (b) with logQ correction, (c) with logQ and self-supervision,
/// and compares them on the test clicks by slice of popularity. All else is equal; every number is measured in this run.
/// </summary>
internal sealed class DemoRun(Screen screen, Twintail.Device device, string folder)
{
    public const int DefaultEpochs = 6;

    private const int K = 20;

    public int Items { get; init; }

    public int Users { get; init; }

    public int Epochs { get; init; }

    public long Seed { get; init; }

    public int Run()
    {
        var watch = Stopwatch.StartNew();
        var catalogue = new SyntheticOptions { Items = Items, Users = Users, Seed = Seed };
        screen.Note($"making a catalogue of {Tables.Count(Items)} items and {Tables.Count(Users)} users with tastes in {folder}/data");
        DatasetOptions files = SyntheticCatalogue.Generate(catalogue).WriteCsv(Path.Combine(folder, "data"));
        LoadedDataset data = DataNotes.Read(screen, files);
        var outcomes = new List<DemoOutcome>();
        foreach ((string name, string place, TrainingOptions options) in Variants())
        {
            using var trainer = new Trainer(device, data.Dataset, options, Path.Combine(folder, place), overwrite: true);
            TrainingResult result = ProgressLine.Show(screen, options, name, progress => Signals.Heeding(token => trainer.Run(progress, token)));
            if (result.End == TrainingEnd.Canceled)
            {
                screen.Warn("stopped");
                return Signals.ExitCode;
            }

            outcomes.Add(Evaluate(name, data.Dataset, trainer));
        }

        (DemoOutcome popularity, DemoOutcome chance) = Baselines(data.Dataset);
        DemoOutcome[] all = [chance, popularity, .. outcomes];
        DemoReport report = new(folder, K, catalogue, data, outcomes, all);
        (string plot, string html) = report.Write(watch.Elapsed);
        screen.Show(Table(all));
        screen.Show("head, mid and tail: clicks on items with training clicks, these ranked. cold: clicks on items without any, these ranked.");
        screen.Show("cold in all: the same clicks with every item in the ranking.");
        screen.Show(DemoReport.Reading);
        screen.Show($"plot:   {plot}");
        screen.Show($"report: {html}");
        screen.Show(FormattableString.Invariant($"the demo took {watch.Elapsed.TotalSeconds:F0} s"));
        screen.ShowJson(() => new JsonObject
        {
            ["plot"] = plot,
            ["report"] = html,
            ["seconds"] = watch.Elapsed.TotalSeconds,
            ["models"] = new JsonArray([.. all.Select(Json)]),
        });
        return 0;
    }

    private List<(string Name, string Place, TrainingOptions Options)> Variants()
    {
        var plain = new TrainingOptions
        {
            Tower = [], // linear towers do best here and on docs/quality.md's data
            IdDimension = 32,
            BatchSize = 1024,
            SelfBatchSize = 512,
            Epochs = Epochs,
            Patience = 0,
            Seed = Seed,
            Threads = device.Info.Threads,
            SelfTemperature = 0.3f, // at 0.1 the loss tells near duplicates apart, and takes recall from new items
            Correction = Correction.None,
            Augmentation = Transforms.None,
        };
        return
        [
            ("plain softmax", "plain", plain),
            ("+ logQ", "logq", plain with { Correction = Correction.LogQ }),
            ("+ logQ + SSL", "logq-ssl", plain with { Correction = Correction.LogQ, Augmentation = Transforms.Correlated }),
        ];
    }

    private static DemoOutcome Evaluate(string name, Dataset data, Trainer trainer) =>
        Evaluate(name, trainer.Model.Catalogue, data, evaluator => evaluator.Evaluate(trainer.Model, name));

    private (DemoOutcome Popularity, DemoOutcome Chance) Baselines(Dataset data)
    {
        Catalogue catalogue = Catalogue.FromDataset(data);
        return (
            Evaluate("popularity", catalogue, data, evaluator => evaluator.EvaluatePopularity(device)),
            Evaluate("random", catalogue, data, evaluator => evaluator.EvaluateRandom(device)));
    }

    private static DemoOutcome Evaluate(string name, Catalogue catalogue, Dataset data, Func<Evaluator, EvaluationReport> evaluate)
    {
        EvaluationReport On(Candidates candidates, params string[] splits) =>
            evaluate(new Evaluator(catalogue, data.Splits, new EvaluationOptions { Splits = splits, Candidates = candidates, Ks = [K, 50] }));
        return new DemoOutcome(
            name, On(Candidates.Warm, "test"), On(Candidates.Cold, "test_cold"), On(Candidates.All, "test", "test_cold"));
    }

    private static Table Table(IEnumerable<DemoOutcome> outcomes)
    {
        Table table = Tables.Create($"recall@{K} on the test clicks, with 95 % intervals over users", ["model", .. DemoReport.Columns]);
        foreach (DemoOutcome outcome in outcomes)
        {
            table.Row([outcome.Name, .. DemoReport.Values(outcome, K).Select(Short)]);
        }

        return table;
    }

    private static string Short(Estimate value) => double.IsNaN(value.Low)
        ? Tables.Number(value.Value)
        : value.Value.ToString(".000", CultureInfo.InvariantCulture)
            + " ±" + ((value.High - value.Low) / 2).ToString(".000", CultureInfo.InvariantCulture);

    private static JsonObject Json(DemoOutcome outcome) => new()
    {
        ["name"] = outcome.Name,
        ["warm"] = JsonNode.Parse(outcome.Warm.ToJson()),
        ["cold"] = JsonNode.Parse(outcome.Cold.ToJson()),
        ["all"] = JsonNode.Parse(outcome.All.ToJson()),
    };
}
