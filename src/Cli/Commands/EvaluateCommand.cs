using System.CommandLine;
using System.Text.Json.Nodes;
using Twintail.Cli.Reports;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Evaluation;
using Twintail.Model;

namespace Twintail.Cli.Commands;

/// <summary>twintail evaluate: exact full ranking of held-out clicks.</summary>
internal sealed class EvaluateCommand
{
    private readonly Option<string> _model = new("--model") { Description = "Folder of the model.", HelpName = "DIR", Required = true };
    private readonly Option<string?> _against = new("--against") { Description = "Another model, for the paired difference with its interval.", HelpName = "DIR" };
    private readonly Option<string> _split = new("--split") { Description = "Split whose clicks are to be found; several are joined by commas.", HelpName = "NAME", DefaultValueFactory = _ => "test" };
    private readonly Option<string> _candidates = new("--candidates") { Description = "The competing items: warm (with a training click), cold (those of the split without one) or all.", HelpName = "WHICH", DefaultValueFactory = _ => "warm" };
    private readonly Option<float> _coldBonus = new("--cold-bonus") { Description = "Added to the score of items without a training click, -2 to 2: weighs new items against known ones among all candidates.", HelpName = "X" };
    private readonly Option<float> _penalty = new("--popularity-penalty") { Description = "X log(training clicks) is subtracted from the scores, -1 to 1: weighs rare items against popular ones.", HelpName = "X" };
    private readonly Option<string> _ks = new("-k") { Description = "Lengths of the lists.", HelpName = "N,N", DefaultValueFactory = _ => "20,50" };
    private readonly Option<int> _users = new("--max-users") { Description = "Evaluate so many users, drawn at random; 0: all.", HelpName = "N" };
    private readonly Option<int> _bootstrap = new("--bootstrap") { Description = "Resamples of the users for the 95 % intervals.", HelpName = "N", DefaultValueFactory = _ => 1000 };
    private readonly Option<long> _seed = new("--seed") { Description = "Seed of the resamples.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private readonly Option<bool> _baselines = new("--baselines") { Description = "Also rank by popularity and at random." };
    private readonly Option<string?> _report = new("--report") { Description = "Write an HTML report with plots.", HelpName = "FILE" };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("evaluate", "Evaluates a model on held-out clicks, overall and by popularity of the items.")
        {
            _model, _against, _split, _candidates, _coldBonus, _penalty, _ks, _users, _bootstrap, _seed, _baselines, _report,
        };
        _settings = new SettingOptions(
            command, [DataSettings.Interactions, .. DataSettings.ClickColumns, DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        EvaluationOptions options = Options(parsed);
        string folder = parsed.GetRequiredValue(_model);
        string? other = parsed.GetValue(_against);
        OutputFolder.RequireModel(folder);
        if (other != null)
        {
            OutputFolder.RequireModel(other);
        }

        OutputFolder.CheckFile(parsed.GetValue(_report));
        SettingValues given = _settings.Given(parsed);
        using Twintail.Device device = DeviceSettings.Open(given, screen);
        List<EvaluationReport> reports = Evaluate(screen, device, folder, given, options, parsed.GetValue(_baselines));
        if (other == null)
        {
            Show(screen, parsed, reports);
            screen.ShowJson(() => Json(reports));
            return 0;
        }

        EvaluationReport second = Evaluate(screen, device, other, given, options, baselines: false)[0];
        if (!SameTask(reports[0], second))
        {
            screen.Warn($"{folder} and {other} were trained on other items or clicks: they do not rank the same items, nor cut the slices alike");
        }

        EvaluationReport difference = reports[0].Against(second);
        reports.Insert(1, second);
        Show(screen, parsed, reports);
        screen.Show(Tables.Evaluation($"{folder} − {other}, user by user", difference, signed: true));
        screen.ShowJson(() =>
        {
            JsonObject json = Json(reports);
            json["difference"] = JsonNode.Parse(difference.ToJson());
            return json;
        });
        return 0;
    }

    // Among fewer candidates the same model has a higher recall.
    private static bool SameTask(EvaluationReport a, EvaluationReport b) => a.CandidateCount == b.CandidateCount
        && a.Slices.Select(s => (s.Name, s.Pairs, s.Items)).SequenceEqual(b.Slices.Select(s => (s.Name, s.Pairs, s.Items)));

    private EvaluationOptions Options(ParseResult parsed)
    {
        var options = new EvaluationOptions
        {
            Splits = parsed.GetRequiredValue(_split).Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries),
            Candidates = parsed.GetRequiredValue(_candidates).ToLowerInvariant() switch
            {
                "warm" => Candidates.Warm,
                "cold" => Candidates.Cold,
                "all" => Candidates.All,
                var name => throw new BadArgumentException("candidates", "warm, cold or all", $"'{name}'"),
            },
            ColdBonus = parsed.GetValue(_coldBonus),
            PopularityPenalty = parsed.GetValue(_penalty),
            Ks = Numbers(parsed.GetRequiredValue(_ks)),
            MaxUsers = parsed.GetValue(_users),
            BootstrapSamples = parsed.GetValue(_bootstrap),
            Seed = parsed.GetValue(_seed),
        };
        options.Validate();
        return options;
    }

    private static int[] Numbers(string text) => text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
        .Select(part => int.TryParse(part, out int number) ? number : throw new BadArgumentException("k", "whole numbers", $"'{part}'"))
        .ToArray();

    private static List<EvaluationReport> Evaluate(
        Screen screen, Twintail.Device device, string folder, SettingValues given, EvaluationOptions options, bool baselines)
    {
        // The columns and the validation rule are those of the training unless the command line says otherwise.
        DatasetOptions data = DataSettings.ToOptions(ConfigFile.ReadRun(folder).With(given));
        if (data.Interactions == null)
        {
            throw new CommandException("--interactions is missing (see twintail evaluate --help)", Failures.Usage);
        }

        using TwoTowerModel model = TwoTowerModel.Load(device, folder);
        LoadedInteractions clicks = DatasetReader.ReadInteractions(data, model.Catalogue, Signals.Token);
        if (clicks.UnknownUserClicks + clicks.UnknownItemClicks > 0)
        {
            if (clicks.Splits.Values.All(split => split.Count == 0))
            {
                throw new CommandException($"{folder} knows the user and the item of none of the clicks in {data.Interactions}: was it trained on another catalogue?");
            }

            screen.Warn($"{folder} does not know the user of {clicks.UnknownUserClicks} clicks and the item of {clicks.UnknownItemClicks} more; they are left out");
        }

        foreach (string split in options.Splits)
        {
            if (!clicks.Splits.ContainsKey(split))
            {
                throw new CommandException(
                    $"{data.Interactions} has no split '{split}'{Suggestions.Clause(split, clicks.Splits.Keys)} (it has {string.Join(", ", clicks.Splits.Keys.Order(StringComparer.Ordinal))})");
            }
        }

        var evaluator = new Evaluator(model.Catalogue, clicks.Splits, options);
        var reports = new List<EvaluationReport> { evaluator.Evaluate(model, folder) };
        if (baselines)
        {
            reports.Add(evaluator.EvaluatePopularity(device));
            reports.Add(evaluator.EvaluateRandom(device));
        }

        return reports;
    }

    private void Show(Screen screen, ParseResult parsed, List<EvaluationReport> reports)
    {
        foreach (EvaluationReport report in reports)
        {
            screen.Show(Tables.Evaluation(report.Name, report));
        }

        EvaluationReport first = reports[0];
        screen.Show($"{Tables.Count(first.CandidateCount)} candidates ({first.Options.Candidates.ToString().ToLowerInvariant()}), "
            + $"{Tables.Count(first.SkippedPairs)} clicks left out (item no candidate, or among the user's training clicks)");
        if (parsed.GetValue(_report) is { } path)
        {
            var html = new HtmlReport("Twintail: evaluation");
            TrainingReport.AddEvaluations(html, $"{string.Join(" + ", first.Options.Splits)}, {Tables.Count(first.CandidateCount)} items ranked", reports);
            html.Write(path);
            screen.Show($"report: {path}");
        }
    }

    private static JsonObject Json(List<EvaluationReport> reports) =>
        new() { ["evaluations"] = new JsonArray([.. reports.Select(r => JsonNode.Parse(r.ToJson()))]) };
}
