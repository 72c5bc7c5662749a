using System.Runtime.InteropServices;
using Twintail.Augmentation;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Sampling;

namespace Twintail.Training;

/// <summary>
/// One step of the training: buffers, made once, and <see cref="Run"/>, which a person can read in one go. Each line of it is one
/// native call, and nothing is allocated.
/// </summary>
internal sealed unsafe class TrainingStep : IDisposable
{
    /// <summary>Losses of this many steps stay on the device until they are read.</summary>
    public const int LossWindow = 64;

    private readonly Network _network;
    private readonly TrainingOptions _options;
    private readonly StepBuffers _buffers;
    private readonly StepOptimizers _optimizers;
    private readonly int _mixed;
    private readonly int _self;

    public TrainingStep(Network network, Catalogue catalogue, TrainingOptions options, int maxBatch)
    {
        _network = network;
        _options = options;
        _mixed = options.MixedNegatives;
        _self = options.IsSelfSupervised ? options.SelfBatchSize : 0;
        _optimizers = new StepOptimizers(network, options);
        try
        {
            _buffers = new StepBuffers(network, catalogue, options, maxBatch, _mixed, _self);
        }
        catch
        {
            _optimizers.Dispose();
            throw;
        }
    }

    public StepOptimizers Optimizers => _optimizers;

    /// <summary>For tests: what the last step has drawn.</summary>
    public StepBuffers Buffers => _buffers;

    /// <summary>Trains on one batch: forward, both losses, backward, update.</summary>
    /// <param name="clicks">Of which the step has n.</param>
    /// <param name="step">Counted from 0 over all epochs.</param>
    /// <param name="rate">Factor on both learning rates.</param>
    public void Run(ClickStream clicks, long step, float rate)
    {
        Device device = _network.Device;
        int n = clicks.BatchSize(step);
        int columns = n + _mixed;
        long itemRows = columns + (2L * _self);
        float* parameters = _network.Parameters.Pointer;
        float* gradients = _buffers.ParameterGradients.Pointer;
        using GraphSection graph = _options.DeviceGraph ? device.BeginGraph() : default;
        _buffers.BeginStep(n, step);

        // 1. Clicks of the step. Columns of the main loss: the clicked items, then B' uniform ones. Items of the self-supervised
        // loss: m uniform ones.
        clicks.Draw(step, _buffers.ClickedUsers.Pointer, _buffers.Columns.Pointer);
        Sample(Purpose.MixedNegatives, step, _buffers.Columns.Pointer + n, _mixed);
        Sample(Purpose.SelfItems, step, _buffers.SelfItems.Pointer, _self);

        // 2. Both towers. The item tower runs once, over columns, first views and second views.
        EmbeddingGather.Forward(device, _network.Users, _network.NativeEmbeddings, _network.Embeddings.Length, _buffers.UserViews, 1);
        _network.UserTower.Forward(device, parameters, n, _buffers.User);
        EmbeddingGather.Forward(device, _network.Items, _network.NativeEmbeddings, _network.Embeddings.Length, _buffers.ItemViews, _buffers.ItemViewCount);
        _network.ItemTower.Forward(device, parameters, itemRows, _buffers.Item);

        // 3. L = mean L_main + α mean L_self, with the gradients of all final vectors.
        _buffers.GatherLogQ(columns);
        SampledSoftmax.Invoke(device, _buffers.MainLoss(n, columns, _optimizers, step));
        if (_self > 0)
        {
            Contrastive.Invoke(device, _buffers.SelfLoss(columns, step));
        }

        // 4. Backward through both towers, and the updates.
        _network.UserTower.Backward(device, parameters, gradients, n, _buffers.User);
        _network.ItemTower.Backward(device, parameters, gradients, itemRows, _buffers.Item);
        _buffers.ViewGradients();
        _optimizers.Dense(gradients, step, rate);
        _optimizers.Sparse(_network.Users, _buffers.UserViews, 1, step, rate);
        _optimizers.Sparse(_network.Items, _buffers.ItemViews, _buffers.ItemViewCount, step, rate);
        if (_options.LearnTemperature)
        {
            _optimizers.Temperature(step, rate);
        }
    }

    /// <summary>Losses of up to <see cref="LossWindow"/> latest steps: main and self-supervised, in step order from <paramref name="first"/> on.</summary>
    public void ReadLosses(long first, Span<double> main, Span<double> self) => _buffers.ReadLosses(first, main, self);

    public void Dispose()
    {
        _buffers.Dispose();
        _optimizers.Dispose();
    }

    private void Sample(Purpose purpose, long step, int* rows, int count)
    {
        if (count > 0)
        {
            DeviceRandom.SampleRows(_network.Device, (ulong)_options.Seed, (uint)purpose, step, _network.Items.Rows, rows, count);
        }
    }
}
