using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Training;

/// <summary>
/// log q by item row. Fetching it for a batch is a gather as any other, of an embedding of length 1, so that it happens on the device.
/// </summary>
internal sealed unsafe class LogQTable : IDisposable
{
    private readonly Device _device;
    private readonly DeviceFeatureTable _rows;
    private readonly DeviceBuffer<float> _table;
    private readonly DeviceBuffer<float> _values;

    public LogQTable(Device device, float[] logQ, long capacity)
    {
        _device = device;

        // Value id 0 stands for "default" in every table, so item r has value r + 1.
        var texts = new string[logQ.Length + 1];
        Array.Fill(texts, "");
        int[] ids = Enumerable.Range(1, logQ.Length).ToArray();
        try
        {
            _rows = new DeviceFeatureTable(device, logQ.Length, new[] { new FeatureBinding(new FeatureColumn("row", texts, ids), 0) });
            _table = device.Allocate<float>(texts.Length);
            _table.CopyFrom(logQ, 1);
            _values = device.Allocate<float>(capacity);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>What the last <see cref="Gather"/> has fetched.</summary>
    public float* Values => _values.Pointer;

    public void Gather(int* rows, int count)
    {
        var embedding = new tt_embedding { weights = _table.Pointer, rows = _table.Length, dim = 1 };
        var view = new tt_gather_view { rows = rows, n = count, vectors = _values.Pointer, ld = 1 };
        EmbeddingGather.Forward(_device, _rows, &embedding, 1, &view, 1);
    }

    public void Dispose()
    {
        _rows?.Dispose();
        _table?.Dispose();
        _values?.Dispose();
    }
}
