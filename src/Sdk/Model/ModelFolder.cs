using Twintail.Features;
using Twintail.Storage;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>The files of a model's folder, each written atomically.</summary>
internal sealed class ModelFolder
{
    private const string WeightsFormat = "twintail-weights-1";

    public ModelFolder(string directory, AtomicFile? files = null)
    {
        Directory = directory;
        Files = files ?? new AtomicFile();
    }

    public string Directory { get; }

    public AtomicFile Files { get; set; }

    /// <summary>{"twintail_model": 1, "options": {...}}.</summary>
    public string ConfigPath => Path.Combine(Directory, "config.json");

    public string CataloguePath => Path.Combine(Directory, "catalogue.safetensors");

    public string WeightsPath => Path.Combine(Directory, "weights.safetensors");

    public bool HasModel => File.Exists(ConfigPath) && File.Exists(CataloguePath) && File.Exists(WeightsPath);

    public void WriteConfig(TrainingOptions options)
    {
        var json = new JsonObject { ["twintail_model"] = 1, ["options"] = options.ToJsonObject() };
        Files.WriteText(ConfigPath, JsonText.Write(json, indented: true) + "\n");
    }

    public void WriteCatalogue(Catalogue catalogue) => CatalogueFile.Write(Files, CataloguePath, catalogue);

    public void WriteWeights(Network network)
    {
        var metadata = new Dictionary<string, string> { ["format"] = WeightsFormat };
        Files.Write(WeightsPath, stream => SafetensorsWriter.Write(stream, network.Weights(), metadata));
    }

    /// <exception cref="CorruptFileException">The file is damaged or no configuration of a model.</exception>
    public TrainingOptions ReadConfig()
    {
        try
        {
            return TrainingOptions.FromJson(File.ReadAllText(ConfigPath));
        }
        catch (BadArgumentException e)
        {
            throw new CorruptFileException(ConfigPath, e.Message, e);
        }
    }

    public Catalogue ReadCatalogue() => CatalogueFile.Read(CataloguePath);

    /// <exception cref="CorruptFileException">The file is damaged or does not belong to the network.</exception>
    public void ReadWeights(Network network)
    {
        using var file = new SafetensorsReader(WeightsPath);
        if (!file.Metadata.TryGetValue("format", out string? format) || format != WeightsFormat)
        {
            throw file.Corrupt($"format '{format}', expected '{WeightsFormat}'");
        }

        network.Load(file);
    }
}
