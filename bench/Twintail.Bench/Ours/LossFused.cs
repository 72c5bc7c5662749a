using Twintail.Bench.Data;
using Twintail.Bench.Peers;
using Twintail.Bench.Running;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Bench.Ours;

/// <summary>Twintail's sampled softmax.</summary>
internal sealed unsafe class LossFused : Contender
{
    private readonly Device _device;
    private readonly LossData _data;
    private readonly bool _backward;
    private readonly Precision _precision;
    private readonly DeviceBuffer<float> _queries;
    private readonly DeviceBuffer<float> _candidates;
    private readonly DeviceBuffer<float> _logQ;
    private readonly float[] _loss = GC.AllocateArray<float>(1, pinned: true);
    private DeviceBuffer<double>? _total;
    private DeviceBuffer<float>? _gradQueries;
    private DeviceBuffer<float>? _gradCandidates;

    public LossFused(string name, LossData data, bool backward, Device device, Precision precision)
        : base(name, Role.Ours)
    {
        _device = device;
        _data = data;
        _backward = backward;
        _precision = precision;
        Isa = device.Info.Isa.ToString().ToLowerInvariant();
        _queries = device.Upload(data.Queries);
        _candidates = device.Upload(data.Candidates);
        _logQ = device.Upload(data.LogQ);
    }

    public override string Dtype => _precision == Precision.Bfloat16 ? "bfloat16" : "float32";

    public override string Isa { get; }

    public override void Run()
    {
        _total ??= _device.Allocate<double>(1);
        _gradQueries ??= _backward ? _device.Allocate<float>(_queries.Length) : null;
        _gradCandidates ??= _backward ? _device.Allocate<float>(_candidates.Length) : null;
        SampledSoftmax.Invoke(_device, new tt_sampled_softmax_args
        {
            n = _data.N,
            m = _data.M,
            d = _data.D,
            queries = _queries.Pointer,
            candidates = _candidates.Pointer,
            log_q = _logQ.Pointer,
            inverse_temperature = 1 / LossData.Temperature,
            scale = 1,
            precision = (int)_precision,
            total = _total.Pointer,
            grad_queries = _gradQueries == null ? null : _gradQueries.Pointer,
            grad_candidates = _gradCandidates == null ? null : _gradCandidates.Pointer,
        });
        _loss[0] = (float)*_total.Pointer;
    }

    public override IEnumerable<Output> Outputs()
    {
        var outputs = new List<Output> { LossOutputs.Loss(_loss) };
        if (_backward)
        {
            outputs.Add(new Output(LossOutputs.GradQueries, (IntPtr)_gradQueries!.Pointer, _gradQueries.Length));
            outputs.Add(new Output(LossOutputs.GradCandidates, (IntPtr)_gradCandidates!.Pointer, _gradCandidates.Length));
        }

        return outputs;
    }

    public override void Dispose()
    {
        foreach (IDisposable? owned in new IDisposable?[] { _queries, _candidates, _logQ, _total, _gradQueries, _gradCandidates, _device })
        {
            owned?.Dispose();
        }
    }
}
