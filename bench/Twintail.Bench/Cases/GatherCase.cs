using Twintail.Bench.Data;
using Twintail.Bench.Ours;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;

namespace Twintail.Bench.Cases;

/// <summary>
/// Embedding vectors of eight multi-valued features (dims 16 to 64, 5 values each in the mean): n rows of a catalogue, m rows in each
/// embedding table, d the width of a gathered vector.
/// </summary>
internal sealed class GatherCase : BenchCase
{
    public const string Forward = "gather_forward";

    public const string Step = "gather_two_views_backward_update";

    private const int CatalogueRows = 200_000;
    private const int VerifiedSteps = 2;

    private static readonly AugmentationRates Rates = new(MaskRate: 0.2f, ValueRate: 0.2f);

    private readonly BagData _data;
    private readonly BagTables _source;
    private readonly Device _device;
    private readonly List<IDisposable> _owned = [];
    private readonly List<ExchangeableAugmenter> _augmenters = [];

    public GatherCase(CaseId id, CaseOptions options)
        : base(id)
    {
        _data = BagData.Create(BagData.EightDims, id.M, CatalogueRows, id.N);
        if (_data.Width != id.D)
        {
            throw new ArgumentException($"d: expected {_data.Width}, the sum of the dimensions, got {id.D}", nameof(id));
        }

        // The first tables fix everybody's first weights, and are those of the first contender of ours.
        _device = Device.Cpu(options.Threads);
        _source = new BagTables(_data, _device, GatherStep.Optimizer);
        Action<CaseOptions> addAll = id.Case == Forward ? AddForward : AddStep;
        addAll(options);
    }

    public override Work Work => Work.Bytes(Id.Case == Forward ? ForwardBytes : StepBytes());

    public override void Verify()
    {
        if (Id.Case == Forward)
        {
            base.Verify();
            return;
        }

        // Two steps from the same weights with the same masks: the second also reads the state that the first has left.
        GatherStep? ours = Contenders.OfType<GatherStep>().FirstOrDefault();
        if (ours == null)
        {
            return;
        }

        KeptValues[][][] recorded = [.. Enumerable.Range(0, VerifiedSteps).Select(step => ours.Preview(step))];
        foreach (ExchangeableAugmenter augmenter in _augmenters)
        {
            augmenter.Inner = new RecordedAugmenter(_data, recorded);
        }

        foreach (Contender contender in Contenders)
        {
            contender.Run();
        }

        base.Verify();
        foreach (ExchangeableAugmenter augmenter in _augmenters)
        {
            augmenter.Inner = new HostAugmenter(_data, Rates);
        }
    }

    public override void Dispose()
    {
        base.Dispose();
        foreach (IDisposable owned in _owned)
        {
            owned.Dispose();
        }

        _source.Dispose();
        _device.Dispose();
    }

    /// <summary>Each value's vector read, each row's written.</summary>
    private double ForwardBytes => _data.LookupBytes + ((double)_data.Batch.Length * _data.Width * sizeof(float));

    private void AddForward(CaseOptions options)
    {
        foreach (var (name, isa) in options.OursInFloat32())
        {
            Add(new GatherForward(name, _data, Tables(isa, options.Threads)));
        }

        foreach (var (name, role) in new[] { (Lineup.TorchNaive, Role.Naive), (Lineup.TorchBest, Role.Best) })
        {
            if (options.Has(name))
            {
                Add(new BagForward(_data, Copy(withState: false), role));
            }
        }
    }

    private void AddStep(CaseOptions options)
    {
        long count = (long)_data.Batch.Length * _data.Width;
        float[][] gradients = [SplitMix.Uniform(11, count), SplitMix.Uniform(12, count)];
        foreach (var (name, isa) in options.OursInFloat32())
        {
            Add(new GatherStep(name, _data, Tables(isa, options.Threads), Rates, gradients));
        }

        if (options.Has(Lineup.TorchNaive))
        {
            Add(new BagStepNaive(_data, Copy(withState: true), Augmenter(), gradients));
        }

        if (options.Has(Lineup.TorchBest))
        {
            Add(new BagStepBest(_data, Copy(withState: true), Augmenter(), gradients));
        }
    }

    /// <summary>
    /// What any implementation must move. Forward: vectors of the values that either view keeps, once, and both results. Backward
    /// and update: both gradients, and of each row touched the weights and the state, read and written.
    /// </summary>
    private double StepBytes()
    {
        var augmenter = new HostAugmenter(_data, Rates);
        augmenter.Draw();
        KeptValues[] views = [new(_data.Batch.Length), new(_data.Batch.Length)];
        double bytes = 4.0 * _data.Batch.Length * _data.Width * sizeof(float);
        double keptByEither = 1 - Math.Pow(1 - ((1 - Rates.MaskRate) * (1 - Rates.ValueRate)), 2);
        for (int f = 0; f < _data.Features.Length; f++)
        {
            augmenter.Keep(1, f, views[0]);
            augmenter.Keep(2, f, views[1]);
            var touched = new HashSet<int>([.. views[0].Values, .. views[1].Values]);
            bytes += touched.Count * 2.0 * (_data.Features[f].Dim + 1) * sizeof(float);
        }

        return bytes + (keptByEither * _data.LookupBytes);
    }

    private ExchangeableAugmenter Augmenter()
    {
        var augmenter = new ExchangeableAugmenter { Inner = new HostAugmenter(_data, Rates) };
        _augmenters.Add(augmenter);
        return augmenter;
    }

    private BagTables Tables(CpuIsa isa, int threads)
    {
        if (isa == CpuIsa.Best)
        {
            return _source;
        }

        Device device = Device.Cpu(threads, isa);
        var tables = new BagTables(_data, device, GatherStep.Optimizer);
        _owned.Add(tables);
        _owned.Add(device);
        return tables;
    }

    private TorchTables Copy(bool withState)
    {
        var tables = new TorchTables(_source.Weights, withState);
        _owned.Add(tables);
        return tables;
    }
}
