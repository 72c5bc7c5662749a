using Twintail.Bench.Data;
using Twintail.Bench.Running;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Bench.Ours;

/// <summary>Twintail's gather of a batch as it is.</summary>
internal sealed unsafe class GatherForward(string name, BagData data, BagTables tables) : Contender(name, Role.Ours)
{
    private DeviceBuffer<float>? _vectors;

    public override string Isa { get; } = tables.Device.Info.Isa.ToString().ToLowerInvariant();

    public override void Run()
    {
        _vectors ??= tables.Device.Allocate<float>((long)data.Batch.Length * data.Width);
        var view = new tt_gather_view
        {
            rows = tables.Rows.Pointer,
            n = data.Batch.Length,
            vectors = _vectors.Pointer,
            ld = data.Width,
        };
        EmbeddingGather.Forward(tables.Device, tables.Table, tables.Native, tables.Embeddings.Length, &view, 1);
    }

    public override IEnumerable<Output> Outputs() => [new Output("vectors", (IntPtr)_vectors!.Pointer, _vectors.Length)];

    public override void Dispose() => _vectors?.Dispose();
}
