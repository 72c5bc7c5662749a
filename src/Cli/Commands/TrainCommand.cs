using System.CommandLine;
using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Cli.Reports;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Training;

namespace Twintail.Cli.Commands;

/// <summary>twintail train: from files to a model.</summary>
internal sealed class TrainCommand
{
    private readonly Option<string?> _out = new("--out") { Description = "Folder of the model, its checkpoint, metrics.jsonl and report.html.", HelpName = "DIR" };
    private readonly Option<string?> _config = new("--config") { Description = "JSON file with any of these settings; the command line goes before it.", HelpName = "FILE" };
    private readonly Option<bool> _resume = new("--resume") { Description = "Continue the training in --out from its last checkpoint, bit for bit." };
    private readonly Option<bool> _overwrite = new("--overwrite") { Description = "Replace the training in --out." };
    private readonly Option<bool> _noMemoryCheck = new("--no-memory-check") { Description = "Train even if the estimated memory is more than is free." };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("train", "Trains a model from click logs and an item catalogue.") { _out, _config, _resume, _overwrite, _noMemoryCheck };
        _settings = new SettingOptions(command, [.. DataSettings.All, DeviceSettings.Device, .. TrainingSettings.All]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        SettingValues values = _settings.Given(parsed);
        values = parsed.GetValue(_config) is { } config ? ConfigFile.Read(config).With(values) : values;
        string folder = parsed.GetValue(_out) ?? values.Get("out") ?? throw Missing("--out");
        bool resume = parsed.GetValue(_resume), overwrite = parsed.GetValue(_overwrite);
        OutputFolder.CheckState(folder, resume, overwrite);
        values = resume ? ConfigFile.ReadRun(folder).With(values) : values;
        DatasetOptions data = DataSettings.ToOptions(values);
        if (data.Interactions == null || data.Items == null)
        {
            throw Missing(data.Interactions == null ? "--interactions" : "--items");
        }

        TrainingOptions training = TrainingSettings.ToOptions(values);
        using Twintail.Device device = DeviceSettings.Open(values, screen);
        OutputFolder.CheckWritable(folder);
        LoadedDataset loaded = DataNotes.Read(screen, data);
        MemoryEstimate memory = CheckMemory(screen, device, loaded.Dataset, training, parsed.GetValue(_noMemoryCheck));
        return Train(screen, device, loaded, training, values, folder, resume, overwrite, memory);
    }

    private static int Train(
        Screen screen, Twintail.Device device, LoadedDataset loaded, TrainingOptions options, SettingValues values,
        string folder, bool resume, bool overwrite, MemoryEstimate memory)
    {
        using Trainer trainer = resume
            ? Trainer.Resume(device, loaded.Dataset, folder, options)
            : new Trainer(device, loaded.Dataset, options, folder, overwrite);
        ConfigFile.WriteRun(folder, values, options);
        if (resume)
        {
            string left = trainer.StepsDone < trainer.Steps ? "" : "; nothing is left to train (more epochs, --epochs, would go on)";
            screen.Note($"resumed at step {trainer.StepsDone} of {trainer.Steps}{left}");
        }

        TrainingResult result = RunTrainer(screen, trainer, folder);
        if (result.End == TrainingEnd.Canceled)
        {
            screen.Warn($"stopped at step {result.Steps} of {trainer.Steps}; continue with: twintail train --resume --out {folder}");
            screen.ShowJson(() => Json(folder, trainer, result, loaded, memory, []));
            return Signals.ExitCode;
        }

        List<EvaluationReport> reports = Evaluations(trainer, loaded.Dataset);
        string report = TrainingReport.Write(folder, options, loaded, result, reports);
        foreach (EvaluationReport evaluation in reports)
        {
            screen.Show(Tables.Evaluation($"{evaluation.Name} on {string.Join("+", evaluation.Options.Splits)}", evaluation));
        }

        screen.Show(Summary(result));
        screen.Show($"model:  {folder}");
        screen.Show($"report: {report}");
        screen.ShowJson(() => Json(folder, trainer, result, loaded, memory, reports));
        return 0;
    }

    // Before anything is allocated: a training that cannot fit should not find out after an hour.
    private static MemoryEstimate CheckMemory(Screen screen, Twintail.Device device, Dataset dataset, TrainingOptions options, bool force)
    {
        MemoryEstimate memory = MemoryEstimate.Of(device, dataset, options);
        screen.Note($"memory: {memory}");
        if (memory.IsTooMuch && force)
        {
            screen.Warn("more memory than is free; going on as --no-memory-check says");
            return memory;
        }

        try
        {
            memory.Check();
            return memory;
        }
        catch (DeviceOutOfMemoryException error)
        {
            throw new CommandException(error.Message + ", or try it with --no-memory-check");
        }
    }

    private static TrainingResult RunTrainer(Screen screen, Trainer trainer, string folder)
    {
        try
        {
            return ProgressLine.Show(screen, trainer.Options, "", progress => Signals.Heeding(token => trainer.Run(progress, token)));
        }
        catch (Exception error) when (Failures.IsStorage(error) && Trainer.CanResume(folder))
        {
            throw new CommandException(
                $"{Failures.Describe(error).TrimEnd('.')}; the last checkpoint is whole, continue with: twintail train --resume --out {folder}");
        }
    }

    // The validation clicks, by slice; with the ranking by popularity to compare.
    private static List<EvaluationReport> Evaluations(Trainer trainer, Dataset dataset)
    {
        var reports = new List<EvaluationReport>();
        Catalogue catalogue = trainer.Model.Catalogue;
        foreach ((string split, Candidates candidates) in new[] { (Dataset.Valid, Candidates.Warm), ("valid_cold", Candidates.Cold) })
        {
            bool warm = candidates == Candidates.Warm;
            if (dataset.Splits.TryGetValue(split, out Interactions? clicks) && clicks.Items.Any(item => catalogue.Clicks[item] > 0 == warm))
            {
                var evaluator = new Evaluator(catalogue, dataset.Splits, new EvaluationOptions { Splits = [split], Candidates = candidates });
                reports.Add(evaluator.Evaluate(trainer.Model));
                reports.Add(warm ? evaluator.EvaluatePopularity(trainer.Model.Device) : evaluator.EvaluateRandom(trainer.Model.Device));
            }
        }

        return reports;
    }

    private static string Summary(TrainingResult result)
    {
        string end = result.End == TrainingEnd.StoppedEarly ? "stopped early" : "finished";
        string best = double.IsNaN(result.BestRecall) ? "" : FormattableString.Invariant($", best recall@20 on valid {result.BestRecall:F4}");
        string model = result.Epochs == 0 ? "the model is untrained" : $"the model is that of epoch {result.BestEpoch}";
        return FormattableString.Invariant($"{end} after {result.Epochs} epochs ({result.Steps} steps, {result.Seconds:F1} s); {model}{best}");
    }

    private static JsonObject Json(
        string folder, Trainer trainer, TrainingResult result, LoadedDataset loaded, MemoryEstimate memory, List<EvaluationReport> reports) => new()
        {
            ["model"] = folder,
            ["end"] = OptionText.Name(result.End.ToString()),
            ["epochs"] = result.Epochs,
            ["steps"] = result.Steps,
            ["best_epoch"] = result.BestEpoch,
            ["best_recall"] = double.IsNaN(result.BestRecall) ? null : result.BestRecall,
            ["seconds"] = result.Seconds,
            ["memory"] = new JsonObject
            {
                ["estimated_bytes"] = memory.Bytes,
                ["free_bytes"] = memory.FreeBytes < 0 ? null : memory.FreeBytes,
                ["parts"] = new JsonObject(memory.Parts.Select(part => KeyValuePair.Create(part.Name, (JsonNode?)part.Bytes))),
            },
            ["graphs"] = Graphs(trainer.Model.Device.Info.Graphs),
            ["data"] = DataNotes.Json(loaded.Report),
            ["evaluations"] = new JsonArray([.. reports.Select(r => JsonNode.Parse(r.ToJson()))]),
        };

    private static JsonObject? Graphs(GraphInfo graphs) => !graphs.IsSupported ? null : new JsonObject
    {
        ["launched"] = graphs.Launches,
        ["built"] = graphs.Builds,
        ["cut"] = graphs.Cuts,
        ["nodes"] = graphs.Nodes,
    };

    private static CommandException Missing(string option) =>
        new($"{option} is missing (see twintail train --help)", Failures.Usage);
}
