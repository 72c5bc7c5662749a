using System.Globalization;
using Twintail.Features;
using Twintail.Model;
using Twintail.Storage;

namespace Twintail.Training;

public sealed partial class Trainer
{
    // What may differ between a training and its continuation: nothing that a step depends on.
    private static readonly string[] Changeable =
    {
        nameof(TrainingOptions.Epochs), nameof(TrainingOptions.Patience), nameof(TrainingOptions.CheckpointEvery),
        nameof(TrainingOptions.LogEvery), nameof(TrainingOptions.Threads), nameof(TrainingOptions.DeviceGraph),
    };

    /// <summary>Whether a folder has a checkpoint to resume from.</summary>
    public static bool CanResume(string directory) => File.Exists(new RunFolder(directory).CheckpointPath);

    /// <summary>The file of a training that keeps a new one from taking the folder unless it may overwrite; null if the folder is free.</summary>
    public static string? FileInTheWay(string directory) => Path.GetFileName(new RunFolder(directory).Existing().FirstOrDefault());

    /// <summary>Continues a training from the checkpoint of its folder, bit for bit as if it had never stopped.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="dataset">The same data.</param>
    /// <param name="directory">The folder of the training.</param>
    /// <param name="options">
    /// Null: those of the checkpoint. Otherwise they must be equal to those but for epochs, patience, checkpoint-every, log-every,
    /// threads and device-graph (with a schedule that depends on the number of epochs, other epochs mean other learning rates from here on).
    /// </param>
    /// <exception cref="CorruptFileException">The checkpoint is damaged.</exception>
    /// <exception cref="BadArgumentException">
    /// The data are not those of the checkpoint, an option differs, or fewer epochs are asked for than the checkpoint has done; nothing
    /// has been written then.
    /// </exception>
    /// <exception cref="IOException">There is no checkpoint, or the folder cannot be written to.</exception>
    public static Trainer Resume(Device device, Dataset dataset, string directory, TrainingOptions? options = null)
    {
        var folder = new RunFolder(directory);
        using SafetensorsReader file = folder.OpenCheckpoint();
        TrainingOptions stored;
        TrainingState state;
        try
        {
            stored = TrainingOptions.FromJson(file.Metadata["options"]);
            state = TrainingState.FromJson(file.Metadata["state"]);
        }
        catch (BadArgumentException e)
        {
            throw file.Corrupt(e.Message, e);
        }

        CheckUnchanged(stored, options);
        var trainer = new Trainer(device, dataset, options ?? stored, folder, state);
        try
        {
            trainer.Restore(file);
            return trainer;
        }
        catch
        {
            trainer.Dispose();
            throw;
        }
    }

    /// <summary>Whether an option may differ between a training and its continuation.</summary>
    internal static bool MayChange(string option) => Array.IndexOf(Changeable, option) >= 0;

    private static void CheckUnchanged(TrainingOptions stored, TrainingOptions? options)
    {
        foreach (KeyValuePair<string, Type> option in TrainingOptions.Describe())
        {
            bool isFree = options == null || MayChange(option.Key);
            if (!isFree && stored.Get(option.Key) != options!.Get(option.Key))
            {
                throw new BadArgumentException(
                    OptionText.Name(option.Key), $"{stored.Get(option.Key)}, as in the training that is resumed", options.Get(option.Key));
            }
        }
    }

    private void Restore(SafetensorsReader file)
    {
        if (file.Metadata["fingerprint"] != _fingerprint)
        {
            throw new BadArgumentException("dataset", "the data of the training that is resumed", "other items, users or clicks");
        }

        if (_state.Step > Steps)
        {
            // Its weights are those after more epochs: a folder that says otherwise would lie.
            long begun = (_state.Step + StepsPerEpoch - 1) / StepsPerEpoch;
            throw new BadArgumentException(
                OptionText.Name(nameof(TrainingOptions.Epochs)), $"at least {begun}, as many as the training that is resumed has begun",
                _options.Epochs.ToString(CultureInfo.InvariantCulture));
        }

        _network.Load(file);
        _step.Optimizers.Load(file);
        _folder!.Continue(_state.MetricsLength);
        _folder.Model.WriteConfig(_options);
        if (_state.StoppedEarly && _state.Step < Steps)
        {
            // More patience than before lets it go on.
            _state.StoppedEarly = _options.Patience > 0 && (_state.Step / StepsPerEpoch) - _state.BestEpoch >= _options.Patience;
        }
    }

    private void WriteCheckpoint(bool withModel)
    {
        if (_folder == null)
        {
            return;
        }

        ReadLosses();
        if (withModel && !File.Exists(_folder.Model.WeightsPath))
        {
            // Cancelled in the first epoch: what there is, is better than no model.
            _folder.Model.WriteWeights(_network);
        }

        _folder.WriteCheckpoint(_network, _step.Optimizers, _state, _options, _fingerprint);
    }

    private void LogSteps()
    {
        if (_folder != null)
        {
            ReadLosses();
            _folder.AppendMetrics(Line("steps", Progress(null)));
        }
    }

    private void LogEpoch(TrainingProgress report)
    {
        if (_folder != null)
        {
            JsonObject line = Line("epoch", report);
            line["best_epoch"] = _state.BestEpoch;
            line["valid"] = report.Valid?.ToJsonObject();
            _folder.AppendMetrics(line);
        }
    }

    private JsonObject Line(string kind, TrainingProgress report) => new()
    {
        ["kind"] = kind,
        ["epoch"] = report.Epoch,
        ["step"] = report.Step,
        ["main_loss"] = report.MainLoss,
        ["self_loss"] = report.SelfLoss,
        ["temperature"] = report.Temperature,
        ["clicks_per_second"] = Math.Round(report.ClicksPerSecond, 1),
        ["seconds"] = Math.Round(_clock.Elapsed.TotalSeconds, 3),
    };

    /// <summary>Says when the next report of progress is due: four times a second, and never without a listener.</summary>
    private sealed class ReportClock
    {
        private const int Milliseconds = 250;
        private readonly bool _hasListener;
        private int _last = Environment.TickCount;

        public ReportClock(IProgress<TrainingProgress>? progress) => _hasListener = progress != null;

        public bool IsDue
        {
            get
            {
                int now = Environment.TickCount;
                if (!_hasListener || unchecked(now - _last) < Milliseconds)
                {
                    return false;
                }

                _last = now;
                return true;
            }
        }
    }
}
