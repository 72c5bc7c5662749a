using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>
/// The item contrastive loss (Yao et al., "Self-supervised Learning for Large-scale Item Recommendations", CIKM 2021, eq. 2):
/// s_ij = cos(x_i, y_j) / τ', x: first views, y: second views; loss_i = −s_ii + log Σ_j exp(s_ij). Columns of the same item as
/// row i (drawn twice) are left out. Symmetric: the mean of that and the same with the views exchanged.
/// total = scale · Σ_i w_i loss_i with w_i = 1/m unless weights are given.
/// </summary>
public static unsafe class Contrastive
{
    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="args">As in twintail.h.</param>
    /// <exception cref="BadArgumentException">A size, temperature or pointer is wrong.</exception>
    /// <exception cref="DeviceOutOfMemoryException">No room for the workspace.</exception>
    public static void Invoke(Device device, in tt_contrastive_args args)
    {
        tt_contrastive_args call = args;
        call.struct_size = sizeof(tt_contrastive_args);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_contrastive(lease.Pointer, &call));
    }

    /// <summary>The same on buffers, whose lengths are checked.</summary>
    /// <exception cref="BadArgumentException">A size, temperature or length is wrong; names the argument.</exception>
    /// <exception cref="DeviceOutOfMemoryException">No room for the workspace.</exception>
    public static void Compute(Device device, ContrastiveArguments arguments)
    {
        Invoke(device, arguments.ToNative(device));
        GC.KeepAlive(arguments);
    }

    /// <summary>The same on host arrays: uploads, computes loss and all gradients, downloads.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="view1">[m, d].</param>
    /// <param name="view2">[m, d].</param>
    /// <param name="temperature">τ', above 0.</param>
    /// <param name="symmetric">Whether both directions are averaged.</param>
    /// <param name="ids">[m]: item of each row, or null: all differ.</param>
    /// <param name="weights">[m], or null: 1/m each.</param>
    /// <exception cref="BadArgumentException">A size, temperature or length is wrong; names the argument.</exception>
    public static ContrastiveResult Compute(
        Device device,
        int d,
        float[] view1,
        float[] view2,
        float temperature,
        bool symmetric = false,
        int[]? ids = null,
        float[]? weights = null)
    {
        long m = Guard.Rows(view1, d, nameof(view1));
        Guard.Length(view2, view1.Length, nameof(view2));
        SampledSoftmax.CheckTemperature(temperature);
        using DeviceBuffer<float> first = device.Upload(view1);
        using DeviceBuffer<float> second = device.Upload(view2);
        using DeviceBuffer<int>? deviceIds = Guard.UploadOrNull(device, ids);
        using DeviceBuffer<float>? deviceWeights = Guard.UploadOrNull(device, weights);
        using DeviceBuffer<float> loss = device.Allocate<float>(m);
        using DeviceBuffer<double> total = device.Allocate<double>(1);
        using DeviceBuffer<float> gradFirst = device.Allocate<float>(m * d);
        using DeviceBuffer<float> gradSecond = device.Allocate<float>(m * d);
        using DeviceBuffer<float> gradInverseTemperature = device.Allocate<float>(1);
        Compute(device, new ContrastiveArguments(m, d, first, second, 1 / temperature)
        {
            Symmetric = symmetric,
            Ids = deviceIds,
            Weights = deviceWeights,
            Loss = loss,
            Total = total,
            GradView1 = gradFirst,
            GradView2 = gradSecond,
            GradInverseTemperature = gradInverseTemperature,
        });
        return new ContrastiveResult(
            loss.ToArray(), total.ToArray()[0], gradFirst.ToArray(), gradSecond.ToArray(), gradInverseTemperature.ToArray()[0]);
    }
}

/// <summary>Inputs and outputs of <see cref="Contrastive"/>; an output left null is not computed.</summary>
public sealed unsafe class ContrastiveArguments
{
    /// <summary>Names the inputs that are always there.</summary>
    /// <param name="m">Number of items.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="view1">[m, d].</param>
    /// <param name="view2">[m, d].</param>
    /// <param name="inverseTemperature">1/τ', above 0.</param>
    public ContrastiveArguments(long m, int d, DeviceBuffer<float> view1, DeviceBuffer<float> view2, float inverseTemperature)
    {
        M = m;
        D = d;
        View1 = view1;
        View2 = view2;
        InverseTemperature = inverseTemperature;
    }

    /// <summary>Number of items.</summary>
    public long M { get; }

    /// <summary>Dimension of the vectors.</summary>
    public int D { get; }

    /// <summary>[m, d].</summary>
    public DeviceBuffer<float> View1 { get; }

    /// <summary>[m, d].</summary>
    public DeviceBuffer<float> View2 { get; }

    /// <summary>1/τ'.</summary>
    public float InverseTemperature { get; set; }

    /// <summary>Factor of the total and of all gradients.</summary>
    public float Scale { get; set; } = 1;

    /// <summary>Whether both directions are averaged.</summary>
    public bool Symmetric { get; set; }

    /// <summary>Type of the numbers inside products.</summary>
    public Precision Precision { get; set; }

    /// <summary>[m]: item of each row; null: all differ.</summary>
    public DeviceBuffer<int>? Ids { get; set; }

    /// <summary>[m]; null: 1/m each.</summary>
    public DeviceBuffer<float>? Weights { get; set; }

    /// <summary>Output [m]: unweighted loss of each row.</summary>
    public DeviceBuffer<float>? Loss { get; set; }

    /// <summary>Output [1].</summary>
    public DeviceBuffer<double>? Total { get; set; }

    /// <summary>Output [m, d]: gradient of the total.</summary>
    public DeviceBuffer<float>? GradView1 { get; set; }

    /// <summary>Output [m, d]: gradient of the total.</summary>
    public DeviceBuffer<float>? GradView2 { get; set; }

    /// <summary>Output [1]: gradient of the total by 1/τ'.</summary>
    public DeviceBuffer<float>? GradInverseTemperature { get; set; }

    internal tt_contrastive_args ToNative(Device device)
    {
        long elements = Guard.Elements(M, D, "m", "d");
        return new tt_contrastive_args
        {
            m = M,
            d = D,
            view1 = Guard.Pointer(device, View1, elements, "view1"),
            view2 = Guard.Pointer(device, View2, elements, "view2"),
            ids = Guard.PointerOrNull(device, Ids, M, "ids"),
            weights = Guard.PointerOrNull(device, Weights, M, "weights"),
            inverse_temperature = InverseTemperature,
            scale = Scale,
            symmetric = Symmetric ? 1 : 0,
            precision = (int)Precision,
            loss = Guard.PointerOrNull(device, Loss, M, "loss"),
            total = Guard.PointerOrNull(device, Total, 1, "total"),
            grad_view1 = Guard.PointerOrNull(device, GradView1, elements, "grad_view1"),
            grad_view2 = Guard.PointerOrNull(device, GradView2, elements, "grad_view2"),
            grad_inverse_temperature = Guard.PointerOrNull(device, GradInverseTemperature, 1, "grad_inverse_temperature"),
        };
    }
}

/// <summary>What <see cref="Contrastive"/> gives on host arrays.</summary>
/// <param name="Loss">[m]: unweighted loss of each row.</param>
/// <param name="Total">Weighted sum of the losses.</param>
/// <param name="GradView1">[m, d]: gradient of the total.</param>
/// <param name="GradView2">[m, d]: gradient of the total.</param>
/// <param name="GradInverseTemperature">Gradient of the total by 1/τ'.</param>
public sealed record ContrastiveResult(
    float[] Loss, double Total, float[] GradView1, float[] GradView2, float GradInverseTemperature);
