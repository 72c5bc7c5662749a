using Twintail.Features;
using Twintail.Storage;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>
/// The files of a model's folder, each written atomically. The weights come last and say to which catalogue and options they belong,
/// so that a folder whose rewriting was cut short between the files is told from a model.
/// </summary>
internal sealed class ModelFolder
{
    private const string WeightsFormat = "twintail-weights-1";
    private const string CatalogueKey = "catalogue_sha256";
    private const string OptionsKey = "options";
    private string? _catalogueDigest;

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

    public void WriteCatalogue(Catalogue catalogue) => _catalogueDigest = CatalogueFile.Write(Files, CataloguePath, catalogue);

    /// <summary>Writes the weights; config and catalogue must be there.</summary>
    public void WriteWeights(Network network)
    {
        var metadata = new Dictionary<string, string>
        {
            ["format"] = WeightsFormat,
            [CatalogueKey] = CatalogueDigest(),
            [OptionsKey] = JsonText.Write(FixedOptions(network.Options), indented: false),
        };
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

    public Catalogue ReadCatalogue()
    {
        Catalogue catalogue = CatalogueFile.Read(CataloguePath, out string digest);
        _catalogueDigest = digest;
        return catalogue;
    }

    /// <exception cref="CorruptFileException">The file is damaged or does not belong to the network, the catalogue or the configuration.</exception>
    public void ReadWeights(Network network)
    {
        using var file = new SafetensorsReader(WeightsPath);
        if (!file.Metadata.TryGetValue("format", out string? format) || format != WeightsFormat)
        {
            throw file.Corrupt($"format '{format}', expected '{WeightsFormat}'");
        }

        CheckBelongs(file, network.Options);
        network.Load(file);
    }

    // All options but those that a resumed training may change: it writes the config anew, and the weights only when they are better.
    private static JsonObject FixedOptions(TrainingOptions options)
    {
        var json = new JsonObject();
        JsonObject all = options.ToJsonObject();
        foreach (KeyValuePair<string, Type> option in TrainingOptions.Describe())
        {
            if (!Trainer.MayChange(option.Key))
            {
                string name = OptionText.Words(option.Key, '_');
                json[name] = all[name];
            }
        }

        return json;
    }

    private string CatalogueDigest() => _catalogueDigest ??= CatalogueFile.Digest(CataloguePath);

    /// <summary>Files of versions before do not say what they belong to, and pass.</summary>
    private void CheckBelongs(SafetensorsReader file, TrainingOptions options)
    {
        if (file.Metadata.TryGetValue(CatalogueKey, out string? catalogue) && catalogue != CatalogueDigest())
        {
            throw file.Corrupt($"it belongs to another catalogue than {CataloguePath} (its SHA-256 is {CatalogueDigest()}, expected {catalogue})");
        }

        if (!file.Metadata.TryGetValue(OptionsKey, out string? text))
        {
            return;
        }

        TrainingOptions own;
        try
        {
            own = TrainingOptions.FromJson(text);
        }
        catch (BadArgumentException e)
        {
            throw file.Corrupt(e.Message, e);
        }

        foreach (KeyValuePair<string, Type> option in TrainingOptions.Describe())
        {
            if (!Trainer.MayChange(option.Key) && own.Get(option.Key) != options.Get(option.Key))
            {
                throw file.Corrupt(
                    $"it belongs to another model than {ConfigPath} ({OptionText.Name(option.Key)} is {options.Get(option.Key)} there, expected {own.Get(option.Key)})");
            }
        }
    }
}
