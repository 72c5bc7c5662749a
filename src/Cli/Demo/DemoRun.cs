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
/// <param name="Frontier">Recall of all warm clicks and of the tail's, from popularity in the score to popularity divided out; null for baselines.</param>
internal sealed record DemoOutcome(string Name, EvaluationReport Warm, EvaluationReport Cold, EvaluationReport All, Curve? Frontier = null);

/// <summary>
/// Makes a synthetic catalogue, trains with the plain in-batch softmax and with logQ correction, each without and with self-supervision,
/// and compares them on the test clicks by slice of popularity. All else is equal; every number is measured in this run.
/// </summary>
internal sealed class DemoRun(Screen screen, Twintail.Device device, string folder)
{
    public const int DefaultEpochs = 5;

    private const int K = 20;
    private const int FrontierPoints = 6;

    public int Items { get; init; }

    public int Users { get; init; }

    public int Epochs { get; init; }

    public long Seed { get; init; }

    public int Run()
    {
        var watch = Stopwatch.StartNew();
        SyntheticOptions catalogue = new() { Items = Items, Users = Users, Seed = Seed };
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

            outcomes.Add(Evaluate(name, data.Dataset, trainer) with { Frontier = Frontier(name, data.Dataset, trainer) });
        }

        (DemoOutcome popularity, DemoOutcome chance) = Baselines(data.Dataset);
        DemoOutcome[] all = [chance, popularity, .. outcomes];
        DemoReport report = new(folder, K, catalogue, data, outcomes, all);
        (string plot, string html) = report.Write(watch.Elapsed);
        screen.Show(Table(all));
        screen.Show(Differences(report));
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
            ["differences"] = new JsonArray([.. report.Differences.Select(Json)]),
        });
        return 0;
    }

    private List<(string Name, string Place, TrainingOptions Options)> Variants()
    {
        var plain = new TrainingOptions
        {
            Tower = [], // linear towers that begin alike do best here and on docs/quality.md's data
            SharedEmbeddings = true,
            AlignedStart = true,
            Dimension = 128,
            IdDimension = 16,
            FeatureDimension = 32,
            BatchSize = 512,
            SelfBatchSize = 512,
            Temperature = 0.2f,
            HistoryDropout = 0.3f,
            Schedule = Schedule.Linear,
            Epochs = Epochs,
            Patience = 0,
            Seed = Seed,
            Threads = device.Info.Threads,
            Alpha = 0.5f,
            SelfTemperature = 0.2f,
            Correction = Correction.None,
            Augmentation = Transforms.None,
        };
        // Two halves of an item's features: to tell which belong together, the model has to learn what rare values stand for.
        const Transforms Halves = Transforms.Complementary;
        TrainingOptions logQ = plain with { Correction = Correction.LogQ };
        return
        [
            (DemoReport.Plain, "plain", plain),
            (DemoReport.PlainSsl, "plain-ssl", plain with { Augmentation = Halves }),
            (DemoReport.LogQ, "logq", logQ),
            (DemoReport.LogQSsl, "logq-ssl", logQ with { Augmentation = Halves }),
        ];
    }

    /// <summary>
    /// A model without the correction gets popularity back by a penalty of −τ, one with it loses popularity by a penalty of τ: so all
    /// can be compared at any place between the two.
    /// </summary>
    private static Curve Frontier(string name, Dataset data, Trainer trainer)
    {
        float least = trainer.Options.Correction == Correction.None ? -1 : 0;
        EvaluationReport[] reports = Array.ConvertAll(Enumerable.Range(0, FrontierPoints).ToArray(), point =>
        {
            float penalty = trainer.Options.Temperature * (least + (point / (FrontierPoints - 1f)));
            var options = new EvaluationOptions { Candidates = Candidates.Warm, Ks = [K], PopularityPenalty = penalty, BootstrapSamples = 0 };
            return new Evaluator(trainer.Model.Catalogue, data.Splits, options).Evaluate(trainer.Model, name);
        });
        double Recall(EvaluationReport report, string slice) => report.Find(slice)?.Recall(K).Value ?? double.NaN;
        return new Curve(name, Array.ConvertAll(reports, r => Recall(r, "all")), Array.ConvertAll(reports, r => Recall(r, "tail")));
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
            table.Row([outcome.Name, .. DemoReport.Values(outcome, K).Select(value => Short(value))]);
        }

        return table;
    }

    private static Table Differences(DemoReport report)
    {
        Table table = Tables.Create($"differences in recall@{K}, user by user, with 95 % intervals", ["", .. DemoReport.Columns]);
        foreach (DemoOutcome difference in report.Differences)
        {
            table.Row([difference.Name, .. DemoReport.Values(difference, K).Select(value => Short(value, signed: true))]);
        }

        return table;
    }

    private static string Short(Estimate value, bool signed = false)
    {
        string format = signed ? "+.000;-.000;.000" : ".000";
        return double.IsNaN(value.Low)
            ? Tables.Number(value.Value, signed)
            : value.Value.ToString(format, CultureInfo.InvariantCulture)
                + " ±" + ((value.High - value.Low) / 2).ToString(".000", CultureInfo.InvariantCulture);
    }

    private static JsonObject Json(DemoOutcome outcome) => new()
    {
        ["name"] = outcome.Name,
        ["warm"] = JsonNode.Parse(outcome.Warm.ToJson()),
        ["cold"] = JsonNode.Parse(outcome.Cold.ToJson()),
        ["all"] = JsonNode.Parse(outcome.All.ToJson()),
    };
}
