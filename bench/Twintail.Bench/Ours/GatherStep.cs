using Twintail.Bench.Data;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Bench.Ours;

/// <summary>Twintail's two augmented views, backward, and merged row-wise Adagrad.</summary>
internal sealed unsafe class GatherStep : Contender
{
    private const ulong Seed = 5;

    private readonly BagData _data;
    private readonly BagTables _tables;
    private readonly AugmentationRates _rates;
    private readonly DeviceBuffer<float>[] _gradients;
    private readonly DeviceBuffer<float>[] _vectors = new DeviceBuffer<float>[2];
    private readonly Optimizer _optimizer;
    private long _step;

    public GatherStep(string name, BagData data, BagTables tables, AugmentationRates rates, float[][] gradients)
        : base(name, Role.Ours)
    {
        _data = data;
        _tables = tables;
        _rates = rates;
        _gradients = [.. gradients.Select(tables.Device.Upload)];
        _optimizer = Optimizer;
        Isa = tables.Device.Info.Isa.ToString().ToLowerInvariant();
    }

    /// <summary>The rule that all contenders follow.</summary>
    public static Optimizer Optimizer { get; } = Optimizer.RowwiseAdagrad(RowwiseAdagrad.LearningRate, RowwiseAdagrad.Epsilon);

    public override string Isa { get; }

    public override void Run()
    {
        tt_augmentation* augmentation = stackalloc tt_augmentation[1];
        *augmentation = new tt_augmentation
        {
            transforms = (uint)Transforms,
            maskable = Maskable,
            mask_rate = _rates.MaskRate,
            value_rate = _rates.ValueRate,
            seed = Seed,
            step = _step,
        };
        tt_gather_view* views = stackalloc tt_gather_view[2];
        for (int v = 0; v < 2; v++)
        {
            _vectors[v] ??= _tables.Device.Allocate<float>(_gradients[v].Length);
            views[v] = View(v, augmentation, _vectors[v]);
        }

        EmbeddingGather.Forward(_tables.Device, _tables.Table, _tables.Native, _tables.Embeddings.Length, views, 2);
        views[0].vectors = _gradients[0].Pointer;
        views[1].vectors = _gradients[1].Pointer;
        EmbeddingGather.Update(
            _tables.Device, _optimizer.ToNative(_step + 1), _tables.Table, _tables.Native, _tables.Embeddings.Length, views, 2);
        _step++;
    }

    /// <summary>What the two views of a coming step keep: [view][feature].</summary>
    public KeptValues[][] Preview(long step) => [.. new[] { 1, 2 }.Select(view => PreviewOne(view, step))];

    public override IEnumerable<Output> Outputs() =>
    [
        .. _vectors.Select((v, i) => new Output($"view{i + 1}", (IntPtr)v.Pointer, v.Length)),
        .. _tables.Embeddings.Select((e, f) => new Output($"weights{f}", (IntPtr)e.Weights.Pointer, e.Weights.Length)),
        .. _tables.Embeddings.Select((e, f) => new Output($"state{f}", (IntPtr)e.State1!.Pointer, e.State1.Length)),
    ];

    public override void Dispose()
    {
        foreach (DeviceBuffer<float>? buffer in _gradients.Concat(_vectors))
        {
            buffer?.Dispose();
        }
    }

    private const Transforms Transforms = Ops.Transforms.RandomMask | Ops.Transforms.ValueDropout;

    private ulong Maskable => (1UL << _data.Features.Length) - 1;

    private tt_gather_view View(int v, tt_augmentation* augmentation, DeviceBuffer<float> vectors) => new()
    {
        rows = _tables.Rows.Pointer,
        augmentation = augmentation,
        vectors = vectors.Pointer,
        n = _data.Batch.Length,
        ld = _data.Width,
        view = v + 1,
    };

    private KeptValues[] PreviewOne(int view, long step)
    {
        var augmentation = new ViewAugmentation(Transforms, Maskable, Seed, Step: step)
        {
            MaskRate = _rates.MaskRate,
            ValueRate = _rates.ValueRate,
        };
        var gather = new GatherView(_tables.Rows, null) { Augmentation = augmentation, View = view };
        return [.. _data.Features.Select((_, f) => Kept(EmbeddingGather.Preview(_tables.Device, _tables.Table, gather, f)))];
    }

    private KeptValues Kept(AugmentedValues values)
    {
        var kept = new KeptValues(_data.Batch.Length);
        kept.Clear(values.Values.Length);
        for (int bag = 0; bag < _data.Batch.Length; bag++)
        {
            kept.Add(values.Values.AsSpan((int)values.Offsets[bag]..(int)values.Offsets[bag + 1]));
            kept.EndBag(bag);
        }

        return kept;
    }
}
