using Twintail.Interop;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Storage;

namespace Twintail.Training;

/// <summary>Optimisers of a training with their states; those of the embeddings stand beside the embedding tables.</summary>
internal sealed unsafe class StepOptimizers : IDisposable
{
    private const float MinLogInverse = 0; // τ = 1
    private const float MaxLogInverse = 4.6051702f; // τ = 0.01, as CLIP bounds it
    private readonly Network _network;
    private readonly tt_optimizer _sparse;
    private readonly tt_optimizer _dense;
    private readonly DeviceBuffer<float> _state1;
    private readonly DeviceBuffer<float> _state2;
    private readonly DeviceBuffer<float> _temperature; // log 1/τ, its gradient, state 1, state 2; unused unless it is learnt

    public StepOptimizers(Network network, TrainingOptions options)
    {
        _network = network;
        _sparse = SparseRule(options).ToNative(1);
        Optimizer dense = DenseRule(options);
        _dense = dense.ToNative(1);
        long count = network.Parameters.Length;
        Span<float> start = stackalloc float[1];
        start[0] = (float)Math.Log(network.InverseTemperature);
        try
        {
            _state1 = network.Device.Allocate<float>(dense.State1Length(1, count));
            _state2 = network.Device.Allocate<float>(dense.State2Length(1, count));
            _temperature = network.Device.Allocate<float>(4);
            _temperature.CopyFrom(start, 0);
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>log 1/τ on the device, which <see cref="Temperature"/> moves.</summary>
    public float* LogInverseTemperature => _temperature.Pointer;

    /// <summary>Where the main loss is to write its gradient.</summary>
    public float* LogInverseTemperatureGradient => _temperature.Pointer + 1;

    /// <summary>The rule of the embedding tables, which the network needs for their states.</summary>
    public static Optimizer SparseRule(TrainingOptions options) =>
        Rule(options.SparseOptimizer, options.SparseLearningRate, options.SparseWeightDecay);

    /// <summary>The rule of the towers.</summary>
    public static Optimizer DenseRule(TrainingOptions options) =>
        Rule(options.DenseOptimizer, options.DenseLearningRate, options.DenseWeightDecay);

    public void Dense(float* gradients, long step, float rate)
    {
        tt_optimizer rule = At(_dense, step, rate);
        DenseUpdate.Invoke(
            _network.Device, rule, _network.Parameters.Pointer, gradients, Pointer(_state1), Pointer(_state2), _network.Parameters.Length);
    }

    public void Sparse(DeviceFeatureTable table, tt_gather_view* views, int viewCount, long step, float rate) =>
        EmbeddingGather.Update(
            _network.Device, At(_sparse, step, rate), table, _network.NativeEmbeddings, _network.Embeddings.Length, views, viewCount);

    /// <summary>One step on log 1/τ, which is then cut to its bounds.</summary>
    public void Temperature(long step, float rate)
    {
        tt_optimizer rule = At(_dense, step, rate);
        rule.weight_decay = 0;
        float* at = _temperature.Pointer;
        DenseUpdate.Invoke(_network.Device, rule, at, at + 1, at + 2, at + 3, 1);
        Clip.Invoke(_network.Device, MinLogInverse, MaxLogInverse, at, 1);
    }

    /// <summary>Lets the network know the temperature that the device has learnt. Waits for the device.</summary>
    public void ReadTemperature()
    {
        Span<float> value = stackalloc float[1];
        _temperature.CopyTo(value);
        _network.InverseTemperature = (float)Math.Exp(value[0]);
    }

    /// <summary>All states, for a checkpoint.</summary>
    public IEnumerable<TensorData> States()
    {
        for (int e = 0; e < _network.Embeddings.Length; e++)
        {
            EmbeddingTable table = _network.Embeddings[e];
            string name = "state.embedding." + _network.Layout.Embeddings[e].Name;
            if (table.State1 != null)
            {
                yield return TensorData.Of(name + ".1", table.State1);
            }

            if (table.State2 != null)
            {
                yield return TensorData.Of(name + ".2", table.State2);
            }
        }

        yield return TensorData.Of("state.towers.1", _state1);
        yield return TensorData.Of("state.towers.2", _state2);
        yield return TensorData.Of("state.temperature", _temperature);
    }

    public void Load(SafetensorsReader file)
    {
        for (int e = 0; e < _network.Embeddings.Length; e++)
        {
            EmbeddingTable table = _network.Embeddings[e];
            string name = "state.embedding." + _network.Layout.Embeddings[e].Name;
            Load(file, name + ".1", table.State1);
            Load(file, name + ".2", table.State2);
        }

        Load(file, "state.towers.1", _state1);
        Load(file, "state.towers.2", _state2);
        Load(file, "state.temperature", _temperature);
    }

    public void Dispose()
    {
        _state1?.Dispose();
        _state2?.Dispose();
        _temperature?.Dispose();
    }

    private static Optimizer Rule(OptimizerKind kind, float rate, float decay)
    {
        switch (kind)
        {
            case OptimizerKind.Sgd:
                return Optimizer.Sgd(rate, decay);
            case OptimizerKind.Adagrad:
                return Optimizer.Adagrad(rate, weightDecay: decay);
            case OptimizerKind.RowwiseAdagrad:
                return Optimizer.RowwiseAdagrad(rate, weightDecay: decay);
            default:
                return Optimizer.Adam(rate, weightDecay: decay);
        }
    }

    private static tt_optimizer At(tt_optimizer rule, long step, float rate)
    {
        rule.learning_rate *= rate;
        rule.step = step + 1;
        return rule;
    }

    private static void Load(SafetensorsReader file, string name, DeviceBuffer<float>? buffer)
    {
        if (buffer != null)
        {
            file.ReadTo(name, buffer, 0, buffer.Length);
        }
    }

    private static float* Pointer(DeviceBuffer<float> buffer) => buffer.Length == 0 ? null : buffer.Pointer;
}
