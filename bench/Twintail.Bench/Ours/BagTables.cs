using System.Runtime.InteropServices;
using Twintail.Bench.Data;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Bench.Ours;

/// <summary>A catalogue's features and its embedding tables on a device, and the arguments of a gather at fixed addresses.</summary>
internal sealed unsafe class BagTables : IDisposable
{
    private const float Range = 0.05f;

    public BagTables(BagData data, Device device, Optimizer? optimizer)
    {
        Device = device;
        Table = new DeviceFeatureTable(device, data.Rows, [.. data.Features.Select(Bind)]);
        Rows = device.Upload(data.Batch);
        Embeddings = [.. data.Features.Select(f => new EmbeddingTable(device, f.Vocabulary, f.Dim, optimizer))];
        Native = (tt_embedding*)NativeMemory.Alloc((nuint)(Embeddings.Length * sizeof(tt_embedding)));
        for (int f = 0; f < Embeddings.Length; f++)
        {
            DeviceRandom.FillUniform(device, 1, 0, f, -Range, Range, Embeddings[f].Weights);
            Native[f] = Embeddings[f].ToNative();
        }
    }

    public Device Device { get; }

    public DeviceFeatureTable Table { get; }

    /// <summary>The batch.</summary>
    public DeviceBuffer<int> Rows { get; }

    public EmbeddingTable[] Embeddings { get; }

    /// <summary>The embedding tables as the ops take them.</summary>
    public tt_embedding* Native { get; }

    /// <summary>Where each table's weights are, for peers to copy.</summary>
    public IReadOnlyList<(IntPtr Values, long Rows, int Dim)> Weights =>
        [.. Embeddings.Select(e => ((IntPtr)e.Weights.Pointer, e.Rows, e.Dim))];

    public void Dispose()
    {
        foreach (EmbeddingTable embedding in Embeddings)
        {
            embedding.Dispose();
        }

        Rows.Dispose();
        Table.Dispose();
        NativeMemory.Free(Native);
    }

    private static FeatureBinding Bind(BagFeature feature, int embedding)
    {
        var texts = new string[feature.Vocabulary];
        Array.Fill(texts, "");
        return new FeatureBinding(new FeatureColumn(feature.Name, texts, feature.Values, feature.Offsets), embedding, Pooling.Sum);
    }
}
