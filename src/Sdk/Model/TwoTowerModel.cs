using Twintail.Features;
using Twintail.Retrieval;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>
/// A trained two-tower model with its catalogue. Vectors are of unit length: the score of a user and an item is their dot product.
/// A model belongs to its device and, like that, is used by one thread at a time.
/// </summary>
public sealed partial class TwoTowerModel : IDisposable
{
    private const int BlockRows = 4096;
    private readonly bool _ownsNetwork;
    private TowerActivations? _items;
    private TowerActivations? _users;
    private DeviceBuffer<float>? _itemVectors;
    private DeviceBuffer<float>? _bonusVectors;
    private ScoreBonus _bonusOfVectors;

    internal TwoTowerModel(Network network, Catalogue catalogue, bool ownsNetwork)
    {
        Network = network;
        Catalogue = catalogue;
        _ownsNetwork = ownsNetwork;
    }

    /// <summary>The device that holds the weights.</summary>
    public Device Device => Network.Device;

    /// <summary>The options that it was trained with: a copy, which changes nothing when it is changed.</summary>
    public TrainingOptions Options => Network.Options.Copy();

    /// <summary>Items, users and histories.</summary>
    public Catalogue Catalogue { get; }

    /// <summary>Length d of the vectors.</summary>
    public int Dimension => Network.Options.Dimension;

    internal Network Network { get; }

    /// <summary>Whether a folder holds a whole model.</summary>
    public static bool Exists(string directory) => new ModelFolder(directory).HasModel;

    /// <summary>Reads the folder that <see cref="Save"/> or a training has written.</summary>
    /// <exception cref="CorruptFileException">A file is damaged or does not fit the others.</exception>
    /// <exception cref="IOException">A file is missing or cannot be read.</exception>
    public static TwoTowerModel Load(Device device, string directory)
    {
        var folder = new ModelFolder(directory);
        TrainingOptions options = folder.ReadConfig();
        Catalogue catalogue = folder.ReadCatalogue();
        var network = new Network(device, catalogue, options);
        try
        {
            folder.ReadWeights(network);
            return new TwoTowerModel(network, catalogue, ownsNetwork: true);
        }
        catch
        {
            network.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Writes config.json, catalogue.safetensors and weights.safetensors, each of them atomically, the weights last. Over an older model a
    /// kill in between leaves files that do not belong together; <see cref="Load"/> refuses them.
    /// </summary>
    /// <exception cref="IOException">The disk is full, ...; files that were there before are whole.</exception>
    public void Save(string directory)
    {
        Directory.CreateDirectory(directory);
        var folder = new ModelFolder(directory);
        folder.WriteConfig(Network.Options);
        folder.WriteCatalogue(Catalogue);
        folder.WriteWeights(Network);
    }

    /// <summary>Frees the weights.</summary>
    public void Dispose()
    {
        WeightsChanged();
        _items?.Dispose();
        _users?.Dispose();
        _items = null;
        _users = null;
        if (_ownsNetwork)
        {
            Network.Dispose();
        }
    }

    /// <summary>Forgets what was computed from the weights.</summary>
    internal void WeightsChanged()
    {
        _itemVectors?.Dispose();
        _itemVectors = null;
        _bonusVectors?.Dispose();
        _bonusVectors = null;
    }
}
