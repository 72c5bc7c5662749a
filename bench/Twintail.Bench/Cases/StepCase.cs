using Twintail.Bench.Data;
using Twintail.Bench.Ours;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;
using Twintail.Features;
using Twintail.Sampling;
using Twintail.Training;

namespace Twintail.Bench.Cases;

/// <summary>
/// A whole training step on a catalogue like goodbooks-10k with the SDK's default model: n clicks, m items of the
/// self-supervised loss, final vectors of width d. Sampling and masks, gather, towers, both losses, backward, all updates.
/// </summary>
internal sealed class StepCase : BenchCase
{
    public const string Name = "training_step";

    /// <summary>
    /// Accepted difference after the first step, where only rounding differs, and after the second: Adam's first step is
    /// ± the learning rate, so a gradient that is nothing but rounding moves a weight as far as any other.
    /// </summary>
    private static readonly double[] Tolerances = [1e-4, 2e-3];

    /// <summary>
    /// The same for weights, already after the first step. A sum that is 0 but for rounding passes a ReLU in one implementation
    /// and not in the other; then one user's gradient differs: a unit of the tower, and the rows of that user's rare items and values,
    /// move elsewhere. Where this was found it was 9 of 10,001 rows of a table, and all others were alike to 2e-6.
    /// </summary>
    private const double WeightTolerance = 2e-3;

    private readonly TrainStep _ours;
    private readonly Dataset _dataset;
    private readonly TrainingOptions _options;
    private readonly List<ExchangeableStepLookups> _lookups = [];
    private double _tolerance;

    public StepCase(CaseId id, CaseOptions options)
        : base(id)
    {
        _dataset = StepData.Create(id.N);
        _options = StepData.Options(id.N, id.M, id.D, options.Threads);

        // The first of ours fixes everybody's first weights, also where it is not a contender itself.
        _ours = new TrainStep(Lineup.Twintail, _dataset, _options, Device.Cpu(options.Threads));
        float[] logQ = ClickProbabilities.LogQ(_ours.Catalogue.Clicks, _options.LogQExponent, _options.BatchSize, 0);
        foreach (var (name, isa) in options.OursInFloat32())
        {
            Add(isa == CpuIsa.Best ? _ours : new TrainStep(name, _dataset, _options, Device.Cpu(options.Threads, isa)));
        }

        if (options.Has(Lineup.TorchNaive))
        {
            Add(new StepNaive(_ours.CopyModel(), Lookups(), _options, logQ));
        }

        if (options.Has(Lineup.TorchBest))
        {
            Add(new StepBest(_ours.CopyModel(), Lookups(), _options, logQ));
        }
    }

    /// <summary>Towers and losses alone: 6 flops for each weight and row, 6 for each pair and component.</summary>
    public override Work Work
    {
        get
        {
            double Weights(int input) => ((double)input * 256) + (256 * 128) + (128 * Id.D);
            double towers = (Id.N * Weights(_ours.UserWidth)) + ((Id.N + (2.0 * Id.M)) * Weights(_ours.ItemWidth));
            double losses = (((double)Id.N * Id.N) + ((double)Id.M * Id.M)) * Id.D;
            return Work.Flops(6 * (towers + losses));
        }
    }

    public override void Verify()
    {
        if (!Contenders.Contains(_ours))
        {
            return;
        }

        RecordedStep[] steps = [.. Enumerable.Range(0, Tolerances.Length).Select(step => _ours.Preview(step))];
        foreach (ExchangeableStepLookups lookups in _lookups)
        {
            lookups.Inner = new RecordedStepLookups(lookups.N, lookups.M, _ours.UserFeatures, _ours.ItemFeatures, steps);
        }

        IReadOnlyDictionary<string, double>? first = null;
        foreach (double tolerance in Tolerances)
        {
            _tolerance = tolerance;
            base.Verify();
            first ??= Differences;
        }

        Differences = first!;

        foreach (ExchangeableStepLookups lookups in _lookups)
        {
            lookups.Inner = Host();
        }
    }

    protected override double Tolerance(string dtype, string output) =>
        output.StartsWith("state", StringComparison.Ordinal) ? _tolerance : WeightTolerance;

    /// <summary>The rows that a ReLU on the edge moves elsewhere; see <see cref="WeightTolerance"/>.</summary>
    protected override double RowsLeftOut => 0.005;

    public override void Dispose()
    {
        base.Dispose();
        if (!Contenders.Contains(_ours))
        {
            _ours.Dispose();
        }
    }

    private ExchangeableStepLookups Lookups()
    {
        var lookups = new ExchangeableStepLookups(Id.N, Id.M, _ours.UserFeatures, _ours.ItemFeatures) { Inner = Host() };
        _lookups.Add(lookups);
        return lookups;
    }

    private HostStepLookups Host() => new(
        _ours.Catalogue, _dataset.Splits[Dataset.Train], Id.N, _options, _ours.Correlated, _ours.UserFeatures, _ours.ItemFeatures);
}
