using Twintail.Bench.Data;
using Twintail.Bench.Running;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Bench.Ours;

/// <summary>Twintail's top-k.</summary>
internal sealed unsafe class TopKFused : Contender
{
    private readonly Device _device;
    private readonly RetrievalData _data;
    private readonly int _k;
    private readonly DeviceBuffer<float> _queries;
    private readonly DeviceBuffer<float> _items;
    private readonly DeviceBuffer<long> _excludeOffsets;
    private readonly DeviceBuffer<int> _excludeItems;
    private readonly float[] _idsAsFloats;
    private DeviceBuffer<int>? _ids;
    private DeviceBuffer<float>? _scores;

    public TopKFused(string name, RetrievalData data, int k, Device device)
        : base(name, Role.Ours)
    {
        _device = device;
        _data = data;
        _k = k;
        Isa = device.Info.Isa.ToString().ToLowerInvariant();
        _queries = device.Upload(data.Queries);
        _items = device.Upload(data.Catalogue);
        _excludeOffsets = device.Upload(data.ExcludeOffsets);
        _excludeItems = device.Upload(data.ExcludeItems);
        _idsAsFloats = GC.AllocateArray<float>(data.Users * k, pinned: true);
    }

    public override string Isa { get; }

    public override void Run()
    {
        _ids ??= _device.Allocate<int>((long)_data.Users * _k);
        _scores ??= _device.Allocate<float>((long)_data.Users * _k);
        var args = new tt_retrieval_args
        {
            n = _data.Users,
            m = _data.Items,
            d = _data.D,
            queries = _queries.Pointer,
            items = _items.Pointer,
            exclude_offsets = _excludeOffsets.Pointer,
            exclude_items = _excludeItems.Pointer,
            similarity = (int)Similarity.Dot,
        };
        TopK.Invoke(_device, args, _k, _ids.Pointer, _scores.Pointer);
    }

    public override IEnumerable<Output> Outputs()
    {
        for (int i = 0; i < _idsAsFloats.Length; i++)
        {
            _idsAsFloats[i] = _ids!.Pointer[i];
        }

        return
        [
            new Output("scores", (IntPtr)_scores!.Pointer, _scores.Length),
            new Output("ids", System.Runtime.InteropServices.Marshal.UnsafeAddrOfPinnedArrayElement(_idsAsFloats, 0), _ids!.Length),
        ];
    }

    public override void Dispose()
    {
        foreach (IDisposable? owned in new IDisposable?[] { _queries, _items, _excludeOffsets, _excludeItems, _ids, _scores, _device })
        {
            owned?.Dispose();
        }
    }
}
