using System.Text;
using Twintail.Features;
using Twintail.Model;
using Twintail.Storage;

namespace Twintail.Training;

/// <summary>
/// The folder of a training: a model's folder, whose weights are those of the best epoch so far, and beside them
/// checkpoint.safetensors (latest weights, optimiser states, state) and metrics.jsonl. One training at a time writes to it.
/// </summary>
internal sealed class RunFolder : IDisposable
{
    private const string CheckpointFormat = "twintail-checkpoint-1";
    private FileStream? _lock;
    private FileStream? _metrics;

    public RunFolder(string directory) => Model = new ModelFolder(directory);

    public ModelFolder Model { get; }

    public string CheckpointPath => Path.Combine(Model.Directory, "checkpoint.safetensors");

    public string MetricsPath => Path.Combine(Model.Directory, "metrics.jsonl");

    private string LockPath => Path.Combine(Model.Directory, "training.lock");

    /// <summary>Makes the folder ready for a new training.</summary>
    /// <exception cref="BadArgumentException">It holds a training already and <paramref name="overwrite"/> is false.</exception>
    /// <exception cref="IOException">It cannot be written to, or another training does so now.</exception>
    public void Begin(TrainingOptions options, Catalogue catalogue, bool overwrite)
    {
        Directory.CreateDirectory(Model.Directory);
        Lock();
        foreach (string path in Existing())
        {
            if (!overwrite)
            {
                throw new BadArgumentException("directory", "a folder without a model (or resume it, or overwrite it)", path);
            }

            File.Delete(path);
        }

        Model.WriteConfig(options);
        Model.WriteCatalogue(catalogue);
        OpenMetrics(0);
    }

    /// <summary>The files in the folder that a new training would replace.</summary>
    public string[] Existing()
    {
        string[] names = { CheckpointPath, Model.WeightsPath, MetricsPath, Model.ConfigPath, Model.CataloguePath };
        return Array.FindAll(names, File.Exists);
    }

    /// <summary>Makes the folder ready for a training that goes on; metrics written after the checkpoint are cut off.</summary>
    public void Continue(long metricsLength)
    {
        Lock();
        OpenMetrics(metricsLength);
    }

    /// <summary>Appends a line to metrics.jsonl.</summary>
    public void AppendMetrics(JsonObject line)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(JsonText.Write(line, indented: false) + "\n");
        _metrics!.Write(bytes, 0, bytes.Length);
        _metrics.Flush();
    }

    /// <summary>Writes the checkpoint; its state takes note of how far the metrics are.</summary>
    public void WriteCheckpoint(Network network, StepOptimizers optimizers, TrainingState state, TrainingOptions options, string fingerprint)
    {
        _metrics!.Flush(flushToDisk: true);
        state.MetricsLength = _metrics.Length;
        var tensors = network.Weights();
        tensors.AddRange(optimizers.States());
        var metadata = new Dictionary<string, string>
        {
            ["format"] = CheckpointFormat,
            ["state"] = state.ToJson(),
            ["options"] = options.ToJson(),
            ["fingerprint"] = fingerprint,
        };
        Model.Files.Write(CheckpointPath, stream => SafetensorsWriter.Write(stream, tensors, metadata));
    }

    /// <summary>Opens the checkpoint.</summary>
    /// <exception cref="CorruptFileException">It is damaged or no checkpoint.</exception>
    /// <exception cref="IOException">There is none.</exception>
    public SafetensorsReader OpenCheckpoint()
    {
        var file = new SafetensorsReader(CheckpointPath);
        foreach (string key in new[] { "format", "state", "options", "fingerprint" })
        {
            if (!file.Metadata.TryGetValue(key, out string? text) || (key == "format" && text != CheckpointFormat))
            {
                file.Dispose();
                throw file.Corrupt($"no checkpoint: its metadata '{key}' is '{text}'");
            }
        }

        return file;
    }

    public void Dispose()
    {
        _metrics?.Dispose();
        _lock?.Dispose();
    }

    private void Lock()
    {
        try
        {
            _lock = new FileStream(LockPath, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, 1, FileOptions.DeleteOnClose);
        }
        catch (IOException e)
        {
            throw new IOException($"{Model.Directory}: another training writes there, or it cannot be locked ({e.Message})", e);
        }
    }

    private void OpenMetrics(long length)
    {
        _metrics = new FileStream(MetricsPath, FileMode.OpenOrCreate, FileAccess.Write, FileShare.Read);
        _metrics.SetLength(Math.Min(length, _metrics.Length));
        _metrics.Position = _metrics.Length;
    }
}
