using BenchmarkDotNet.Attributes;
using Twintail.Bench.Cases;
using Twintail.Bench.Data;
using Twintail.Bench.Ours;
using Twintail.Bench.Running;
using Twintail.Ops;

namespace Twintail.Bench.Sdk;

/// <summary>
/// What a call of the SDK costs, from the thinnest wrapper to the convenient one on host arrays, with what each allocates. BenchmarkDotNet
/// runs this; the classes of Cases are for comparisons with peers.
/// </summary>
public class SdkCalls
{
    private const int N = 1024;
    private const int D = 64;

    private LossData _loss = null!;
    private Device _device = null!;
    private LossFused _raw = null!;
    private SampledSoftmaxArguments _buffers = null!;
    private SampledSoftmaxArguments _smallest = null!;
    private BagData _bags = null!;
    private BagTables _tables = null!;
    private GatherView[] _views = null!; // kept: naming the view itself makes an array in each call
    private TrainStep _step = null!;
    private readonly List<IDisposable> _owned = [];

    /// <summary>Sizes for the summary, by method.</summary>
    internal static IReadOnlyDictionary<string, CaseId> Sizes { get; } = new Dictionary<string, CaseId>
    {
        [nameof(SoftmaxOnPointers)] = new("sdk_softmax_on_pointers", N, N, D),
        [nameof(SoftmaxOnBuffers)] = new("sdk_softmax_on_buffers", N, N, D),
        [nameof(SoftmaxOnArrays)] = new("sdk_softmax_on_arrays", N, N, D),
        [nameof(SmallestSoftmax)] = new("sdk_softmax_smallest", 1, 1, 1),
        [nameof(GatherOnBuffers)] = new("sdk_gather_on_buffers", N, 10_000, 320),
        [nameof(UpdateOnBuffers)] = new("sdk_gather_update_on_buffers", N, 10_000, 320),
        [nameof(TrainingStep)] = new("sdk_training_step", 512, 256, D),
    };

    /// <summary>Makes the inputs.</summary>
    [GlobalSetup]
    public void SetUp()
    {
        _loss = new LossData(N, N, D);
        _device = Own(Device.Cpu());
        _raw = Own(new LossFused(Lineup.Twintail, _loss, backward: true, Device.Cpu(), Precision.Float32));
        _buffers = Arguments(N, D);
        _smallest = Arguments(1, 1);
        _bags = BagData.Create(BagData.EightDims, 10_000, 20_000, N);
        _tables = Own(new BagTables(_bags, _device, GatherStep.Optimizer));
        _views = [new GatherView(_tables.Rows, Own(_device.Allocate<float>((long)N * _bags.Width)))];
        CaseId step = Sizes[nameof(TrainingStep)];
        _step = Own(new TrainStep(
            Lineup.Twintail, StepData.Create(step.N, 2000, 4000), StepData.Options(step.N, step.M, step.D, 0), Device.Cpu()));
    }

    /// <summary>Frees them.</summary>
    [GlobalCleanup]
    public void CleanUp()
    {
        for (int i = _owned.Count - 1; i >= 0; i--)
        {
            _owned[i].Dispose();
        }
    }

    /// <summary>Forward and backward on device pointers.</summary>
    [Benchmark]
    public void SoftmaxOnPointers() => _raw.Run();

    /// <summary>The same on checked buffers.</summary>
    [Benchmark]
    public void SoftmaxOnBuffers() => SampledSoftmax.Compute(_device, _buffers);

    /// <summary>The same on host arrays, with copies there and back.</summary>
    [Benchmark]
    public double SoftmaxOnArrays() =>
        SampledSoftmax.Compute(_device, D, _loss.Queries, _loss.Candidates, LossData.Temperature, _loss.LogQ).Total;

    /// <summary>One query and one candidate of width 1: the overhead of a call.</summary>
    [Benchmark]
    public void SmallestSoftmax() => SampledSoftmax.Compute(_device, _smallest);

    /// <summary>Eight multi-valued features.</summary>
    [Benchmark]
    public void GatherOnBuffers() => EmbeddingGather.Forward(_device, _tables.Table, _tables.Embeddings, _views);

    /// <summary>Backward and row-wise Adagrad of the same.</summary>
    [Benchmark]
    public void UpdateOnBuffers() =>
        EmbeddingGather.Update(_device, GatherStep.Optimizer, 1, _tables.Table, _tables.Embeddings, _views);

    /// <summary>A whole step of the trainer on a small model.</summary>
    [Benchmark]
    public void TrainingStep() => _step.Run();

    private T Own<T>(T owned)
        where T : IDisposable
    {
        _owned.Add(owned);
        return owned;
    }

    private SampledSoftmaxArguments Arguments(int n, int d) => new(
        n, n, d, Own(_device.Upload(_loss.Queries)), Own(_device.Upload(_loss.Candidates)), 1 / LossData.Temperature)
    {
        LogQ = Own(_device.Upload(_loss.LogQ)),
        Total = Own(_device.Allocate<double>(1)),
        GradQueries = Own(_device.Allocate<float>((long)n * d)),
        GradCandidates = Own(_device.Allocate<float>((long)n * d)),
    };
}
