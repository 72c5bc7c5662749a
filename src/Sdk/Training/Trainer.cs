using System.Diagnostics;
using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Model;
using Twintail.Storage;

namespace Twintail.Training;

/// <summary>
/// Trains a two-tower model; see <see cref="TrainingOptions"/> for what can be chosen. Everything random is a function of seed and
/// step, so that a training resumed from a checkpoint is bit for bit the one that was never interrupted.
/// </summary>
public sealed partial class Trainer : IDisposable
{
    private readonly TrainingOptions _options; // of its own, since memory is laid out by them
    private readonly TrainingState _state;
    private readonly Network _network;
    private readonly ClickStream _clicks;
    private readonly TrainingStep _step;
    private readonly Evaluator? _valid;
    private readonly RunFolder? _folder;
    private readonly string _fingerprint;
    private readonly Stopwatch _clock = new();
    private readonly double[] _mainLosses = new double[TrainingStep.LossWindow];
    private readonly double[] _selfLosses = new double[TrainingStep.LossWindow];
    private NetworkSnapshot? _best;
    private long _stepsRead;
    private long _firstStep;

    /// <summary>Prepares a new training.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="dataset">Needs a split "train"; a split "valid" steers early stopping.</param>
    /// <param name="options">Checked here.</param>
    /// <param name="directory">Folder for model, checkpoint and metrics.jsonl, created if absent; null: nothing is written.</param>
    /// <param name="overwrite">Whether a training that the folder holds already is lost.</param>
    /// <exception cref="BadArgumentException">An option is out of range, the data set has no training clicks, or the folder is taken.</exception>
    /// <exception cref="IOException">The folder cannot be written to.</exception>
    public Trainer(Device device, Dataset dataset, TrainingOptions options, string? directory = null, bool overwrite = false)
        : this(device, dataset, options, directory == null ? null : new RunFolder(directory), null)
    {
        try
        {
            _network.Initialize(_options);
            _folder?.Begin(_options, Model.Catalogue, overwrite);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    private Trainer(Device device, Dataset dataset, TrainingOptions options, RunFolder? folder, TrainingState? state)
    {
        _options = options.Copy();
        _options.Validate();
        if (!dataset.Splits.TryGetValue(Dataset.Train, out Interactions? train) || train.Count == 0)
        {
            throw new BadArgumentException("dataset", "clicks in the split 'train'", "none");
        }

        _folder = folder;
        _state = state ?? new TrainingState();
        _stepsRead = _firstStep = _state.Step;
        _fingerprint = folder == null ? "" : Fingerprint.Of(dataset);
        Catalogue catalogue = Catalogue.FromDataset(dataset);
        _valid = ValidEvaluator(catalogue, dataset, _options);
        try
        {
            _network = new Network(device, catalogue, _options, StepOptimizers.SparseRule(_options));
            Model = new TwoTowerModel(_network, catalogue, ownsNetwork: false);
            _clicks = new ClickStream(device, train, _options.BatchSize, _options.Seed);
            _step = new TrainingStep(_network, catalogue, _options, _clicks.MaxBatch);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The effective options: a copy, which changes nothing when it is changed.</summary>
    public TrainingOptions Options => _options.Copy();

    /// <summary>The model with the latest weights; after <see cref="Run"/>, unless cancelled, those of the best epoch. Belongs to the trainer.</summary>
    public TwoTowerModel Model { get; }

    /// <summary>Steps of one epoch.</summary>
    public long StepsPerEpoch => _clicks.StepsPerEpoch;

    /// <summary>Steps of all epochs.</summary>
    public long Steps => StepsPerEpoch * _options.Epochs;

    /// <summary>Steps done.</summary>
    public long StepsDone => _state.Step;

    internal ModelFolder? Folder => _folder?.Model;

    /// <summary>Trains until all epochs are done, early stopping ends it, or it is cancelled (after a step, with a checkpoint).</summary>
    /// <param name="progress">Told of the state a few times a second and after each epoch, on the calling thread's time.</param>
    /// <param name="cancellation">Ends the training cleanly.</param>
    /// <exception cref="TrainingDivergedException">The loss became infinite or NaN.</exception>
    /// <exception cref="IOException">The folder cannot be written to any more; the last checkpoint is whole.</exception>
    public TrainingResult Run(IProgress<TrainingProgress>? progress = null, CancellationToken cancellation = default)
    {
        _clock.Start();
        var reports = new ReportClock(progress);
        while (_state.Step < Steps && !_state.StoppedEarly)
        {
            if (cancellation.IsCancellationRequested)
            {
                WriteCheckpoint(withModel: true);
                return Result(TrainingEnd.Canceled);
            }

            _step.Run(_clicks, _state.Step, LearningRate(_state.Step));
            _state.Step++;
            if (_state.Step % StepsPerEpoch == 0)
            {
                EndEpoch(progress);
                continue;
            }

            if (_state.Step - _stepsRead == TrainingStep.LossWindow)
            {
                ReadLosses();
            }

            if (_options.LogEvery > 0 && _state.Step % _options.LogEvery == 0)
            {
                LogSteps();
            }

            if (_options.CheckpointEvery > 0 && _state.Step % _options.CheckpointEvery == 0)
            {
                WriteCheckpoint(withModel: false);
            }

            if (reports.IsDue)
            {
                ReadLosses();
                progress!.Report(Progress(null));
            }
        }

        if (_state.Step == 0)
        {
            // No epoch has written anything: the untrained model is what was asked for.
            WriteCheckpoint(withModel: true);
        }

        RestoreBest();
        return Result(_state.StoppedEarly ? TrainingEnd.StoppedEarly : TrainingEnd.Finished);
    }

    /// <summary>Frees model and buffers.</summary>
    public void Dispose()
    {
        // A constructor that fails has made only the first of them.
        _step?.Dispose();
        _clicks?.Dispose();
        Model?.Dispose();
        _network?.Dispose();
        _folder?.Dispose();
    }

    private static Evaluator? ValidEvaluator(Catalogue catalogue, Dataset dataset, TrainingOptions options)
    {
        if (!dataset.Splits.TryGetValue(Dataset.Valid, out Interactions? valid) || !valid.Items.Any(item => catalogue.Clicks[item] > 0))
        {
            return null;
        }

        return new Evaluator(catalogue, dataset.Splits, new EvaluationOptions
        {
            Splits = new[] { Dataset.Valid },
            MaxUsers = options.ValidUsers,
            BootstrapSamples = 0,
            Seed = options.Seed,
        });
    }

    /// <summary>Factor on the learning rates: a straight rise over the warm-up, then the schedule down to a tenth.</summary>
    private float LearningRate(long step)
    {
        if (step < _options.WarmupSteps)
        {
            return (step + 1f) / _options.WarmupSteps;
        }

        double done = Steps > 1 ? step / (double)(Steps - 1) : 0;
        switch (_options.Schedule)
        {
            case Schedule.Linear:
                return (float)(1 - (0.9 * done));
            case Schedule.Cosine:
                return (float)(0.55 + (0.45 * Math.Cos(Math.PI * done)));
            default:
                return 1;
        }
    }

    private void EndEpoch(IProgress<TrainingProgress>? progress)
    {
        ReadLosses();
        int epoch = (int)(_state.Step / StepsPerEpoch);
        Model.WeightsChanged();
        EvaluationReport? valid = _valid?.Evaluate(Model, "valid");
        double recall = valid?["all"].Recall(20).Value ?? double.NaN;
        bool isBest = valid == null || _state.BestEpoch == 0 || recall > _state.BestRecall;
        if (isBest)
        {
            _state.BestEpoch = epoch;
            _state.BestRecall = recall;
            KeepBest();
        }

        _state.StoppedEarly = _options.Patience > 0 && epoch - _state.BestEpoch >= _options.Patience;
        TrainingProgress report = Progress(valid);
        LogEpoch(report);
        _state.BeginEpoch();
        WriteCheckpoint(withModel: false);
        progress?.Report(report);
    }

    /// <summary>Adds the losses of the steps since the last reading to the epoch's sums, in step order; reads a learnt temperature.</summary>
    private void ReadLosses()
    {
        int count = (int)(_state.Step - _stepsRead);
        if (count == 0)
        {
            return;
        }

        _step.ReadLosses(_stepsRead, _mainLosses.AsSpan(0, count), _selfLosses.AsSpan(0, count));
        for (int i = 0; i < count; i++)
        {
            double sum = _mainLosses[i] + _selfLosses[i];
            if (double.IsNaN(sum) || double.IsInfinity(sum))
            {
                throw new TrainingDivergedException(_stepsRead + i + 1, _mainLosses[i], _selfLosses[i]);
            }

            _state.MainSum += _mainLosses[i];
            _state.SelfSum += _selfLosses[i];
        }

        _state.Summed += count;
        _stepsRead = _state.Step;
        if (_options.LearnTemperature)
        {
            _step.Optimizers.ReadTemperature();
        }
    }

    private void KeepBest()
    {
        if (_folder == null)
        {
            _best = new NetworkSnapshot(_network);
        }
        else
        {
            _folder.Model.WriteWeights(_network);
        }
    }

    private void RestoreBest()
    {
        if (_state.BestEpoch > 0 && (_state.BestEpoch * StepsPerEpoch != _state.Step))
        {
            _best?.Restore(_network);
            _folder?.Model.ReadWeights(_network);
        }

        Model.WeightsChanged();
    }

    private TrainingProgress Progress(EvaluationReport? valid)
    {
        double seconds = Math.Max(_clock.Elapsed.TotalSeconds, 1e-9);
        long done = _state.Step - _firstStep;
        double rate = done * (double)_clicks.Count / StepsPerEpoch / seconds;
        return new TrainingProgress
        {
            Epoch = (int)((_state.Step + StepsPerEpoch - 1) / StepsPerEpoch),
            Epochs = _options.Epochs,
            Step = _state.Step,
            Steps = Steps,
            ClicksPerSecond = rate,
            TimeLeft = TimeSpan.FromSeconds(done > 0 ? seconds / done * (Steps - _state.Step) : 0),
            MainLoss = _state.MeanMain,
            SelfLoss = _state.MeanSelf,
            Temperature = 1 / _network.InverseTemperature,
            Valid = valid,
        };
    }

    private TrainingResult Result(TrainingEnd end)
    {
        _clock.Stop();
        return new TrainingResult
        {
            End = end,
            Epochs = (int)(_state.Step / StepsPerEpoch),
            Steps = _state.Step,
            BestEpoch = _state.BestEpoch,
            BestRecall = _state.BestRecall,
            Seconds = _clock.Elapsed.TotalSeconds,
        };
    }
}
