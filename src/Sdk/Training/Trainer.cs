using Twintail.Features;
using Twintail.Model;

namespace Twintail.Training;

/// <summary>Trains a two-tower model; see <see cref="TrainingOptions"/> for what can be chosen.</summary>
public sealed class Trainer : IDisposable
{
    /// <summary>Prepares a new training.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="dataset">Needs a split "train"; a split "valid" steers early stopping.</param>
    /// <param name="options">Checked here.</param>
    /// <param name="directory">Folder for model, checkpoint and metrics.jsonl, created if absent; null: nothing is written.</param>
    /// <exception cref="BadArgumentException">An option is out of range, or the data set has no training clicks.</exception>
    public Trainer(Device device, Dataset dataset, TrainingOptions options, string? directory = null) => throw new NotImplementedException();

    /// <summary>The effective options.</summary>
    public TrainingOptions Options => throw new NotImplementedException();

    /// <summary>The model with the latest weights; after <see cref="Run"/> those of the best epoch. Belongs to the trainer.</summary>
    public TwoTowerModel Model => throw new NotImplementedException();

    /// <summary>Whether a folder has a checkpoint to resume from.</summary>
    public static bool CanResume(string directory) => throw new NotImplementedException();

    /// <summary>Continues a training from the checkpoint of its folder, bit for bit as if it had never stopped.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="dataset">The same data.</param>
    /// <param name="directory">The folder of the training.</param>
    /// <exception cref="CorruptFileException">The checkpoint is damaged.</exception>
    /// <exception cref="BadArgumentException">The data are not those of the checkpoint.</exception>
    public static Trainer Resume(Device device, Dataset dataset, string directory) => throw new NotImplementedException();

    /// <summary>Trains until all epochs are done, early stopping ends it, or it is cancelled (at a step's end, with a checkpoint).</summary>
    public TrainingResult Run(IProgress<TrainingProgress>? progress = null, CancellationToken cancellation = default) => throw new NotImplementedException();

    /// <summary>Frees model and buffers.</summary>
    public void Dispose() => throw new NotImplementedException();
}
