using Twintail.Augmentation;
using Twintail.Bench.Data;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Training;

namespace Twintail.Bench.Ours;

/// <summary>The SDK's training step, as its trainer runs it.</summary>
internal sealed unsafe class TrainStep : Contender
{
    private readonly Device _device;
    private readonly Network _network;
    private readonly ClickStream _clicks;
    private readonly TrainingOptions _options;
    private readonly Catalogue _catalogue;
    private TrainingStep? _training;
    private long _step;

    public TrainStep(string name, Dataset dataset, TrainingOptions options, Device device)
        : base(name, Role.Ours)
    {
        _device = device;
        _options = options;
        _catalogue = Catalogue.FromDataset(dataset);
        _network = new Network(device, _catalogue, options, StepOptimizers.SparseRule(options));
        _network.Initialize(options);
        _clicks = new ClickStream(device, dataset.Splits[Dataset.Train], options.BatchSize, options.Seed);
        Correlated = CorrelatedSets.Create(device, dataset.Items, options)!;
        Isa = device.Info.Isa.ToString().ToLowerInvariant();
    }

    public override string Isa { get; }

    public Catalogue Catalogue => _catalogue;

    public ulong[] Correlated { get; }

    public IReadOnlyList<FeatureBinding> UserFeatures => _network.Layout.Users;

    public IReadOnlyList<FeatureBinding> ItemFeatures => _network.Layout.Items;

    public int UserWidth => _network.Layout.UserWidth;

    public int ItemWidth => _network.Layout.ItemWidth;

    public override void Run()
    {
        _training ??= new TrainingStep(_network, _catalogue, _options, _clicks.MaxBatch);
        _training.Run(_clicks, _step, 1);
        _step++;
    }

    /// <summary>First weights for the peers; call it before the first <see cref="Run"/>.</summary>
    public StepModel CopyModel() => new(
        new TorchTables([.. _network.Embeddings.Select(e => ((IntPtr)e.Weights.Pointer, e.Rows, e.Dim))], withState: true),
        UserFeatures,
        ItemFeatures,
        TorchTower.Copy(Widths(_network.UserTower), (IntPtr)(_network.Parameters.Pointer + _network.ItemTower.End)),
        TorchTower.Copy(Widths(_network.ItemTower), (IntPtr)_network.Parameters.Pointer));

    /// <summary>What a coming step will read.</summary>
    public RecordedStep Preview(long step)
    {
        int n = _clicks.BatchSize(step);
        int m = _options.SelfBatchSize;
        using DeviceBuffer<int> users = _device.Allocate<int>(n);
        using DeviceBuffer<int> columns = _device.Allocate<int>(n);
        _clicks.Draw(step, users.Pointer, columns.Pointer);
        using DeviceBuffer<int> self = _device.Allocate<int>(m);
        DeviceRandom.SampleRows(_device, (ulong)_options.Seed, (uint)Purpose.SelfItems, step, _network.Items.Rows, self);
        ViewAugmentation selfViews = Augmentation(_options.Augmentation, ulong.MaxValue, Purpose.SelfViews, step) with
        {
            Correlated = Correlated,
            SecondView = _options.SecondView,
            SeedScope = _options.SeedScope,
        };
        var user = new GatherView(users, null)
        {
            LeftOut = columns,
            Augmentation = Augmentation(Transforms.ListDropout, 0, Purpose.HistoryDropout, step),
        };
        GatherView[] items =
        [
            new(columns, null) { Augmentation = Augmentation(Transforms.RandomMask, 1, Purpose.IdDropout, step) with { MaskRate = _options.IdDropout } },
            new(self, null) { Augmentation = selfViews, View = 1 },
            new(self, null) { Augmentation = selfViews, View = 2 },
        ];
        return new RecordedStep(
            columns.ToArray(),
            self.ToArray(),
            [.. UserFeatures.Select((_, f) => Kept(_network.Users, [user], f))],
            [.. ItemFeatures.Select((_, f) => Kept(_network.Items, items, f))]);
    }

    public override IEnumerable<Output> Outputs() =>
    [
        .. _network.Embeddings.Select((e, i) => new Output($"weights{i}", (IntPtr)e.Weights.Pointer, e.Weights.Length, e.Dim)),
        .. _network.Embeddings.Select((e, i) => new Output($"state{i}", (IntPtr)e.State1!.Pointer, e.State1.Length)),
        .. StepModel.TowerOutputs("item", Widths(_network.ItemTower), (IntPtr)_network.Parameters.Pointer),
        .. StepModel.TowerOutputs("user", Widths(_network.UserTower), (IntPtr)(_network.Parameters.Pointer + _network.ItemTower.End)),
    ];

    public override void Dispose()
    {
        _training?.Dispose();
        _clicks.Dispose();
        _network.Dispose();
        _device.Dispose();
    }

    private static int[] Widths(Tower tower) => [.. Enumerable.Range(0, tower.Layers + 1).Select(tower.Width)];

    private ViewAugmentation Augmentation(Transforms transforms, ulong maskable, Purpose purpose, long step) =>
        new(transforms, maskable & ((1UL << ItemFeatures.Count) - 1), (ulong)_options.Seed, (uint)purpose, step)
        {
            MaskRate = _options.MaskRate,
            ValueRate = _options.ValueRate,
            ListRate = _options.HistoryDropout,
        };

    private KeptValues Kept(DeviceFeatureTable table, GatherView[] views, int feature)
    {
        var kept = new KeptValues((int)views.Sum(view => view.N));
        int bag = 0;
        foreach (GatherView view in views)
        {
            AugmentedValues values = EmbeddingGather.Preview(_device, table, view, feature);
            kept.Reserve(values.Values.Length);
            for (int i = 0; i < view.N; i++, bag++)
            {
                kept.Add(values.Values.AsSpan((int)values.Offsets[i]..(int)values.Offsets[i + 1]));
                kept.EndBag(bag);
            }
        }

        return kept;
    }
}
