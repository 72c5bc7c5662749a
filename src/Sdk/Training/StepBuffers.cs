using System.Runtime.InteropServices;
using Twintail.Augmentation;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Sampling;

namespace Twintail.Training;

/// <summary>
/// The memory of a training step and the arguments of its calls. Rows of the item tower: the columns of the main loss (clicked items,
/// mixed negatives), then the first views of the self-supervised items, then their second views.
/// </summary>
internal sealed unsafe class StepBuffers : IDisposable
{
    private readonly Network _network;
    private readonly TrainingOptions _options;
    private readonly int _mixed;
    private readonly int _self;
    private readonly LogQTable? _logQ;
    private readonly DeviceBuffer<double> _losses; // main [window], self-supervised [window]
    private readonly double[] _hostLosses = new double[2 * TrainingStep.LossWindow];
    private NativeViews* _native;
    private GCHandle _correlated;

    public StepBuffers(Network network, Catalogue catalogue, TrainingOptions options, int maxBatch, int mixed, int self)
    {
        Device device = network.Device;
        _network = network;
        _options = options;
        _mixed = mixed;
        _self = self;
        try
        {
            User = new TowerActivations(device, network.UserTower, maxBatch, training: true);
            Item = new TowerActivations(device, network.ItemTower, (long)maxBatch + mixed + (2L * self), training: true);
            ClickedUsers = device.Allocate<int>(maxBatch);
            Columns = device.Allocate<int>((long)maxBatch + mixed);
            SelfItems = device.Allocate<int>(self);
            ParameterGradients = device.Allocate<float>(network.Parameters.Length);
            _losses = device.Allocate<double>(_hostLosses.Length);
            if (options.Correction == Correction.LogQ)
            {
                // The mixture is that of the batches there are, which may be far smaller than options.BatchSize. Batches differ by one
                // click at most; the largest stands for all, which changes Q by a part of at most 1 / n.
                float[] logQ = ClickProbabilities.LogQ(catalogue.Clicks, options.LogQExponent, maxBatch, mixed);
                _logQ = new LogQTable(device, logQ, (long)maxBatch + mixed);
            }

            _correlated = GCHandle.Alloc(self > 0 ? CorrelatedSets.Create(device, catalogue.Items, options) : null, GCHandleType.Pinned);
            _native = (NativeViews*)Marshal.AllocHGlobal(sizeof(NativeViews));
            *_native = default;
            FillAugmentations();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    public TowerActivations User { get; } = null!;

    public TowerActivations Item { get; } = null!;

    /// <summary>User rows of the clicks.</summary>
    public DeviceBuffer<int> ClickedUsers { get; } = null!;

    /// <summary>Item rows of the main loss's columns: those of the clicks, then mixed negatives.</summary>
    public DeviceBuffer<int> Columns { get; } = null!;

    /// <summary>Item rows of the self-supervised loss.</summary>
    public DeviceBuffer<int> SelfItems { get; } = null!;

    public DeviceBuffer<float> ParameterGradients { get; } = null!;

    public tt_gather_view* UserViews => &_native->User;

    public tt_gather_view* ItemViews => &_native->Columns;

    public int ItemViewCount => _self > 0 ? 3 : 1;

    /// <summary>Points the views to the step's rows and to the towers' inputs.</summary>
    public void BeginStep(int clicks, long step)
    {
        _native->HistoryDropout.step = step;
        _native->IdDropout.step = step;
        _native->SelfViews.step = step;
        _native->User.rows = ClickedUsers.Pointer;
        _native->User.left_out = Columns.Pointer;
        _native->User.n = clicks;
        _native->Columns.rows = Columns.Pointer;
        _native->Columns.n = clicks + _mixed;
        _native->First.rows = SelfItems.Pointer;
        _native->Second.rows = SelfItems.Pointer;
        PointVectors(User.Inputs, Item.Inputs);
    }

    /// <summary>Points the views to the gradients of the towers' inputs.</summary>
    public void ViewGradients() => PointVectors(User.InputGradients, Item.InputGradients);

    /// <summary>Fetches log q of the columns.</summary>
    public void GatherLogQ(int columns) => _logQ?.Gather(Columns.Pointer, columns);

    public tt_sampled_softmax_args MainLoss(int n, int columns, StepOptimizers optimizers, long step) => new()
    {
        n = n,
        m = columns,
        d = _options.Dimension,
        queries = User.Outputs,
        candidates = Item.Outputs,
        log_q = _logQ == null ? null : _logQ.Values,
        candidate_ids = Columns.Pointer,
        inverse_temperature = _network.InverseTemperature,
        scale = 1,
        precision = (int)_options.Precision,
        total = _losses.Pointer + (step % TrainingStep.LossWindow),
        grad_queries = User.OutputGradients,
        grad_candidates = Item.OutputGradients,
        log_inverse_temperature = _options.LearnTemperature ? optimizers.LogInverseTemperature : null,
        grad_log_inverse_temperature = _options.LearnTemperature ? optimizers.LogInverseTemperatureGradient : null,
    };

    public tt_contrastive_args SelfLoss(int columns, long step)
    {
        long first = (long)columns * _options.Dimension;
        long second = first + ((long)_self * _options.Dimension);
        return new tt_contrastive_args
        {
            m = _self,
            d = _options.Dimension,
            view1 = Item.Outputs + first,
            view2 = Item.Outputs + second,
            ids = SelfItems.Pointer,
            inverse_temperature = 1 / _options.SelfTemperature,
            scale = _options.Alpha,
            symmetric = _options.SelfSymmetric ? 1 : 0,
            precision = (int)_options.Precision,
            total = _losses.Pointer + TrainingStep.LossWindow + (step % TrainingStep.LossWindow),
            grad_view1 = Item.OutputGradients + first,
            grad_view2 = Item.OutputGradients + second,
        };
    }

    public void ReadLosses(long first, Span<double> main, Span<double> self)
    {
        _losses.CopyTo(_hostLosses);
        for (int i = 0; i < main.Length; i++)
        {
            int slot = (int)((first + i) % TrainingStep.LossWindow);
            main[i] = _hostLosses[slot];
            self[i] = _self > 0 ? _hostLosses[TrainingStep.LossWindow + slot] / _options.Alpha : 0;
        }
    }

    public void Dispose()
    {
        User?.Dispose();
        Item?.Dispose();
        ClickedUsers?.Dispose();
        Columns?.Dispose();
        SelfItems?.Dispose();
        ParameterGradients?.Dispose();
        _losses?.Dispose();
        _logQ?.Dispose();
        if (_correlated.IsAllocated)
        {
            _correlated.Free();
        }

        Marshal.FreeHGlobal((IntPtr)_native); // nothing if null
        _native = null;
    }

    private void FillAugmentations()
    {
        ulong seed = (ulong)_options.Seed;
        _native->HistoryDropout = new tt_augmentation
        {
            transforms = (uint)Transforms.ListDropout,
            list_rate = _options.HistoryDropout,
            seed = seed,
            purpose = (uint)Purpose.HistoryDropout,
        };
        _native->IdDropout = new tt_augmentation
        {
            transforms = (uint)Transforms.RandomMask,
            maskable = 1, // the id is feature 0
            mask_rate = _options.IdDropout,
            seed = seed,
            purpose = (uint)Purpose.IdDropout,
        };
        _native->SelfViews = new tt_augmentation
        {
            transforms = (uint)_options.Augmentation,
            maskable = ViewPreview.AllFeatures(_network.Layout.Items.Count),
            correlated = (ulong*)_correlated.AddrOfPinnedObject(),
            mask_rate = _options.MaskRate,
            value_rate = _options.ValueRate,
            second_view = (int)_options.SecondView,
            seed_scope = (int)_options.SeedScope,
            seed = seed,
            purpose = (uint)Purpose.SelfViews,
        };
        _native->User.augmentation = _options.HistoryDropout > 0 ? &_native->HistoryDropout : null;
        _native->Columns.augmentation = _options.IdDropout > 0 ? &_native->IdDropout : null;
        _native->First.augmentation = &_native->SelfViews;
        _native->Second.augmentation = &_native->SelfViews;
        _native->First.view = 1;
        _native->Second.view = 2;
        _native->First.n = _self;
        _native->Second.n = _self;
    }

    private void PointVectors(float* users, float* items)
    {
        int width = _network.Layout.ItemWidth;
        _native->User.vectors = users;
        _native->User.ld = _network.Layout.UserWidth;
        _native->Columns.vectors = items;
        _native->First.vectors = items + (_native->Columns.n * width);
        _native->Second.vectors = _native->First.vectors + ((long)_self * width);
        _native->Columns.ld = width;
        _native->First.ld = width;
        _native->Second.ld = width;
    }

    /// <summary>What the gathers take, at fixed addresses. The three views of the item tower stand one after the other.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct NativeViews
    {
        public tt_gather_view User;
        public tt_gather_view Columns;
        public tt_gather_view First;
        public tt_gather_view Second;
        public tt_augmentation HistoryDropout;
        public tt_augmentation IdDropout;
        public tt_augmentation SelfViews;
    }
}
