using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>Type of the numbers inside products; sums are always float32.</summary>
public enum Precision
{
    /// <summary>32-bit floating point.</summary>
    Float32 = 0,

    /// <summary>16-bit brain floating point, where <see cref="DeviceInfo.HasBfloat16"/> says that it is fast.</summary>
    Bfloat16 = 1,
}

/// <summary>
/// The in-batch softmax over cosines with logQ correction (Yi et al., "Sampling-bias-corrected neural modeling for large
/// corpus item recommendations", RecSys 2019):
/// s_ij = cos(q_i, c_j) / τ − log q_j (the temperature comes before the correction),
/// loss_i = −s_i,pos(i) + log Σ_j exp(s_ij), j over all candidates that are not accidental hits of row i
/// (j ≠ pos(i), same id as pos(i)); total = scale · Σ_i w_i loss_i with w_i = 1/n unless weights are given.
/// A row with norm below 1e-12 has cosine 0 with everything and gradient 0. The n × m matrix is never stored.
/// </summary>
public static unsafe class SampledSoftmax
{
    /// <summary>The native call on raw device pointers, for loops that allocate nothing. struct_size is filled in here.</summary>
    /// <param name="device">Where to compute; all pointers must be valid there until it is done.</param>
    /// <param name="args">As in twintail.h.</param>
    /// <exception cref="BadArgumentException">A size, index, temperature or pointer is wrong.</exception>
    /// <exception cref="DeviceOutOfMemoryException">No room for the workspace.</exception>
    public static void Invoke(Device device, in tt_sampled_softmax_args args)
    {
        tt_sampled_softmax_args call = args;
        call.struct_size = sizeof(tt_sampled_softmax_args);
        using ContextLease lease = device.Handle.Enter();
        Status.Check(NativeMethods.tt_sampled_softmax(lease.Pointer, &call));
    }

    /// <summary>The same on buffers, whose lengths are checked.</summary>
    /// <exception cref="BadArgumentException">A size, index, temperature or length is wrong; names the argument.</exception>
    /// <exception cref="DeviceOutOfMemoryException">No room for the workspace.</exception>
    public static void Compute(Device device, SampledSoftmaxArguments arguments)
    {
        Invoke(device, arguments.ToNative(device));
        GC.KeepAlive(arguments);
    }

    /// <summary>The same on host arrays: uploads, computes loss and all gradients, downloads.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="queries">[n, d].</param>
    /// <param name="candidates">[m, d].</param>
    /// <param name="temperature">τ, above 0.</param>
    /// <param name="logQ">[m]: log of each candidate's sampling probability, or null: no correction.</param>
    /// <param name="positives">[n]: column of each row's positive, or null: row i's is column i.</param>
    /// <param name="candidateIds">[m]: item of each candidate, or null: no accidental hits are masked.</param>
    /// <param name="weights">[n], or null: 1/n each.</param>
    /// <exception cref="BadArgumentException">A size, index, temperature or length is wrong; names the argument.</exception>
    public static SampledSoftmaxResult Compute(
        Device device,
        int d,
        float[] queries,
        float[] candidates,
        float temperature,
        float[]? logQ = null,
        int[]? positives = null,
        int[]? candidateIds = null,
        float[]? weights = null)
    {
        long n = Guard.Rows(queries, d, nameof(queries));
        long m = Guard.Rows(candidates, d, nameof(candidates));
        CheckTemperature(temperature);
        using DeviceBuffer<float> deviceQueries = device.Upload(queries);
        using DeviceBuffer<float> deviceCandidates = device.Upload(candidates);
        using DeviceBuffer<float>? deviceLogQ = Guard.UploadOrNull(device, logQ);
        using DeviceBuffer<int>? devicePositives = Guard.UploadOrNull(device, positives);
        using DeviceBuffer<int>? deviceIds = Guard.UploadOrNull(device, candidateIds);
        using DeviceBuffer<float>? deviceWeights = Guard.UploadOrNull(device, weights);
        using DeviceBuffer<float> loss = device.Allocate<float>(n);
        using DeviceBuffer<float> logSumExp = device.Allocate<float>(n);
        using DeviceBuffer<double> total = device.Allocate<double>(1);
        using DeviceBuffer<float> gradQueries = device.Allocate<float>(n * d);
        using DeviceBuffer<float> gradCandidates = device.Allocate<float>(m * d);
        using DeviceBuffer<float> gradInverseTemperature = device.Allocate<float>(1);
        Compute(device, new SampledSoftmaxArguments(n, m, d, deviceQueries, deviceCandidates, 1 / temperature)
        {
            LogQ = deviceLogQ,
            Positives = devicePositives,
            CandidateIds = deviceIds,
            Weights = deviceWeights,
            Loss = loss,
            LogSumExp = logSumExp,
            Total = total,
            GradQueries = gradQueries,
            GradCandidates = gradCandidates,
            GradInverseTemperature = gradInverseTemperature,
        });
        return new SampledSoftmaxResult(
            loss.ToArray(),
            logSumExp.ToArray(),
            total.ToArray()[0],
            gradQueries.ToArray(),
            gradCandidates.ToArray(),
            gradInverseTemperature.ToArray()[0]);
    }

    internal static void CheckTemperature(float temperature)
    {
        // Not "temperature <= 0": a NaN must be refused too.
        if (!(temperature > 0) || float.IsInfinity(1 / temperature) || float.IsInfinity(temperature))
        {
            throw new BadArgumentException(nameof(temperature), "a finite number above 0", temperature.ToString("R"));
        }
    }
}

/// <summary>Inputs and outputs of <see cref="SampledSoftmax"/>; an output left null is not computed.</summary>
public sealed unsafe class SampledSoftmaxArguments
{
    /// <summary>Names the inputs that are always there.</summary>
    /// <param name="n">Number of queries.</param>
    /// <param name="m">Number of candidates.</param>
    /// <param name="d">Dimension of the vectors.</param>
    /// <param name="queries">[n, d].</param>
    /// <param name="candidates">[m, d].</param>
    /// <param name="inverseTemperature">1/τ, above 0.</param>
    public SampledSoftmaxArguments(
        long n, long m, int d, DeviceBuffer<float> queries, DeviceBuffer<float> candidates, float inverseTemperature)
    {
        N = n;
        M = m;
        D = d;
        Queries = queries;
        Candidates = candidates;
        InverseTemperature = inverseTemperature;
    }

    /// <summary>Number of queries.</summary>
    public long N { get; }

    /// <summary>Number of candidates.</summary>
    public long M { get; }

    /// <summary>Dimension of the vectors.</summary>
    public int D { get; }

    /// <summary>[n, d].</summary>
    public DeviceBuffer<float> Queries { get; }

    /// <summary>[m, d].</summary>
    public DeviceBuffer<float> Candidates { get; }

    /// <summary>1/τ.</summary>
    public float InverseTemperature { get; set; }

    /// <summary>Factor of the total and of all gradients.</summary>
    public float Scale { get; set; } = 1;

    /// <summary>Type of the numbers inside products.</summary>
    public Precision Precision { get; set; }

    /// <summary>[m]: log of each candidate's sampling probability; null: no correction.</summary>
    public DeviceBuffer<float>? LogQ { get; set; }

    /// <summary>[n]: column of each row's positive; null: row i's is column i.</summary>
    public DeviceBuffer<int>? Positives { get; set; }

    /// <summary>[m]: item of each candidate; null: no accidental hits are masked.</summary>
    public DeviceBuffer<int>? CandidateIds { get; set; }

    /// <summary>[n]; null: 1/n each.</summary>
    public DeviceBuffer<float>? Weights { get; set; }

    /// <summary>Output [n]: unweighted loss of each row.</summary>
    public DeviceBuffer<float>? Loss { get; set; }

    /// <summary>Output [n].</summary>
    public DeviceBuffer<float>? LogSumExp { get; set; }

    /// <summary>Output [1].</summary>
    public DeviceBuffer<double>? Total { get; set; }

    /// <summary>Output [n, d]: gradient of the total.</summary>
    public DeviceBuffer<float>? GradQueries { get; set; }

    /// <summary>Output [m, d]: gradient of the total.</summary>
    public DeviceBuffer<float>? GradCandidates { get; set; }

    /// <summary>Output [1]: gradient of the total by 1/τ.</summary>
    public DeviceBuffer<float>? GradInverseTemperature { get; set; }

    /// <summary>[1]: a temperature that is learnt, as log 1/τ, in place of <see cref="InverseTemperature"/>; null: that.</summary>
    public DeviceBuffer<float>? LogInverseTemperature { get; set; }

    /// <summary>Output [1]: gradient of the total by log 1/τ; needs <see cref="LogInverseTemperature"/>.</summary>
    public DeviceBuffer<float>? GradLogInverseTemperature { get; set; }

    internal tt_sampled_softmax_args ToNative(Device device)
    {
        long queryElements = Guard.Elements(N, D, "n", "d");
        long candidateElements = Guard.Elements(M, D, "m", "d");
        return new tt_sampled_softmax_args
        {
            n = N,
            m = M,
            d = D,
            queries = Guard.Pointer(device, Queries, queryElements, "queries"),
            candidates = Guard.Pointer(device, Candidates, candidateElements, "candidates"),
            log_q = Guard.PointerOrNull(device, LogQ, M, "log_q"),
            positives = Guard.PointerOrNull(device, Positives, N, "positives"),
            candidate_ids = Guard.PointerOrNull(device, CandidateIds, M, "candidate_ids"),
            weights = Guard.PointerOrNull(device, Weights, N, "weights"),
            inverse_temperature = InverseTemperature,
            scale = Scale,
            precision = (int)Precision,
            loss = Guard.PointerOrNull(device, Loss, N, "loss"),
            log_sum_exp = Guard.PointerOrNull(device, LogSumExp, N, "log_sum_exp"),
            total = Guard.PointerOrNull(device, Total, 1, "total"),
            grad_queries = Guard.PointerOrNull(device, GradQueries, queryElements, "grad_queries"),
            grad_candidates = Guard.PointerOrNull(device, GradCandidates, candidateElements, "grad_candidates"),
            grad_inverse_temperature = Guard.PointerOrNull(device, GradInverseTemperature, 1, "grad_inverse_temperature"),
            log_inverse_temperature = Guard.PointerOrNull(device, LogInverseTemperature, 1, "log_inverse_temperature"),
            grad_log_inverse_temperature = Guard.PointerOrNull(device, GradLogInverseTemperature, 1, "grad_log_inverse_temperature"),
        };
    }
}

/// <summary>What <see cref="SampledSoftmax"/> gives on host arrays.</summary>
/// <param name="Loss">[n]: unweighted loss of each row.</param>
/// <param name="LogSumExp">[n].</param>
/// <param name="Total">Weighted sum of the losses.</param>
/// <param name="GradQueries">[n, d]: gradient of the total.</param>
/// <param name="GradCandidates">[m, d]: gradient of the total.</param>
/// <param name="GradInverseTemperature">Gradient of the total by 1/τ.</param>
public sealed record SampledSoftmaxResult(
    float[] Loss, float[] LogSumExp, double Total, float[] GradQueries, float[] GradCandidates, float GradInverseTemperature);
