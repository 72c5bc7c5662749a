using System.Runtime.InteropServices;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Storage;
using Twintail.Training;

namespace Twintail.Model;

/// <summary>The two towers on a device: feature tables, embedding tables, the layers' parameters and the temperature.</summary>
internal sealed unsafe class Network : IDisposable
{
    private tt_embedding* _native;

    /// <summary>Takes the memory; weights are 0 until <see cref="Initialize"/> or <see cref="Load"/>.</summary>
    /// <param name="device">Where to.</param>
    /// <param name="catalogue">What the towers read.</param>
    /// <param name="options">Their shapes.</param>
    /// <param name="sparse">Optimiser whose state the embedding tables get; null: none.</param>
    public Network(Device device, Catalogue catalogue, TrainingOptions options, Optimizer? sparse = null)
    {
        Device = device;
        Options = options;
        Layout = new FeatureLayout(catalogue, options);
        ItemTower = new Tower("item_tower", Layout.ItemWidth, options.Tower, options.Dimension, 0);
        UserTower = new Tower("user_tower", Layout.UserWidth, options.Tower, options.Dimension, ItemTower.End);
        InverseTemperature = 1 / options.Temperature;
        Embeddings = new EmbeddingTable[Layout.Embeddings.Count];
        try
        {
            Items = new DeviceFeatureTable(device, catalogue.Items.Rows, Layout.Items);
            RowLists histories = FeatureLayout.Histories(
                catalogue.HistoryOffsets, catalogue.HistoryItems, catalogue.Items.Rows, options.HistoryLength);
            Users = new DeviceFeatureTable(device, catalogue.Users.Rows, Layout.Users, histories, Items);
            Parameters = device.Allocate<float>(UserTower.End);
            _native = (tt_embedding*)Marshal.AllocHGlobal(Embeddings.Length * sizeof(tt_embedding));
            for (int e = 0; e < Embeddings.Length; e++)
            {
                Embeddings[e] = new EmbeddingTable(device, Layout.Embeddings[e].Rows, Layout.Embeddings[e].Dim, sparse);
                _native[e] = Embeddings[e].ToNative();
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public Device Device { get; }

    /// <summary>The options that it is built and trained with.</summary>
    public TrainingOptions Options { get; }

    public FeatureLayout Layout { get; }

    public Tower ItemTower { get; }

    public Tower UserTower { get; }

    public DeviceFeatureTable Items { get; } = null!;

    public DeviceFeatureTable Users { get; } = null!;

    /// <summary>All layers of both towers.</summary>
    public DeviceBuffer<float> Parameters { get; } = null!;

    public EmbeddingTable[] Embeddings { get; }

    /// <summary>The embedding tables as the ops take them; valid until disposal.</summary>
    public tt_embedding* NativeEmbeddings => _native;

    public float InverseTemperature { get; set; }

    /// <summary>Draws all weights.</summary>
    public void Initialize(TrainingOptions options)
    {
        // Every tensor has its own Philox step: embeddings from 0 on, layers from 1000 on.
        for (int e = 0; e < Embeddings.Length; e++)
        {
            DeviceRandom.FillUniform(
                Device, (ulong)options.Seed, (uint)Purpose.Initialize, e, -options.EmbeddingRange, options.EmbeddingRange, Embeddings[e].Weights);
        }

        ItemTower.Initialize(Device, Parameters, options.Seed, 1000);
        UserTower.Initialize(Device, Parameters, options.Seed, 2000);
        if (options.AlignedStart)
        {
            UserTower.CopyWeights(ItemTower, Parameters, Layout.SharedInputs());
        }
    }

    /// <summary>Final vectors of items, [n, d]; n at most activations.Rows.</summary>
    public void EncodeItems(int* rows, long n, TowerActivations activations)
    {
        Gather(Items, rows, n, Layout.ItemWidth, activations);
        ItemTower.Forward(Device, Parameters.Pointer, n, activations);
    }

    /// <summary>Final vectors of users of a table that has the layout's user features.</summary>
    public void EncodeUsers(DeviceFeatureTable users, int* rows, long n, TowerActivations activations)
    {
        Gather(users, rows, n, Layout.UserWidth, activations);
        UserTower.Forward(Device, Parameters.Pointer, n, activations);
    }

    /// <summary>All weights, for a file.</summary>
    public List<TensorData> Weights()
    {
        var tensors = new List<TensorData>();
        for (int e = 0; e < Embeddings.Length; e++)
        {
            EmbeddingShape shape = Layout.Embeddings[e];
            tensors.Add(TensorData.Of("embedding." + shape.Name, Embeddings[e].Weights, shape.Rows, shape.Dim));
        }

        tensors.AddRange(ItemTower.Tensors(Parameters));
        tensors.AddRange(UserTower.Tensors(Parameters));
        tensors.Add(TensorData.Of("inverse_temperature", new[] { InverseTemperature }));
        return tensors;
    }

    /// <summary>Reads what <see cref="Weights"/> gave.</summary>
    /// <exception cref="CorruptFileException">A tensor is missing or of another size.</exception>
    public void Load(SafetensorsReader file)
    {
        for (int e = 0; e < Embeddings.Length; e++)
        {
            file.ReadTo("embedding." + Layout.Embeddings[e].Name, Embeddings[e].Weights, 0, Embeddings[e].Weights.Length);
        }

        ItemTower.Load(file, Parameters);
        UserTower.Load(file, Parameters);
        InverseTemperature = file.Read<float>("inverse_temperature")[0];
    }

    public void Dispose()
    {
        Items?.Dispose();
        Users?.Dispose();
        Parameters?.Dispose();
        foreach (EmbeddingTable table in Embeddings)
        {
            table?.Dispose();
        }

        Marshal.FreeHGlobal((IntPtr)_native);
        _native = null;
    }

    private void Gather(DeviceFeatureTable table, int* rows, long n, int width, TowerActivations activations)
    {
        var view = new tt_gather_view { rows = rows, n = n, vectors = activations.Inputs, ld = width };
        EmbeddingGather.Forward(Device, table, _native, Embeddings.Length, &view, 1);
    }
}
