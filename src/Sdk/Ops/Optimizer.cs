using Twintail.Interop;

namespace Twintail.Ops;

/// <summary>Which rule moves the weights.</summary>
public enum OptimizerKind
{
    /// <summary>w −= lr · g.</summary>
    Sgd = 0,

    /// <summary>State [rows, dim] += g²; w −= lr · g / (√state + ε).</summary>
    Adagrad = 1,

    /// <summary>State [rows] += mean over dim of g²; w −= lr · g / (√state + ε). For embedding tables only.</summary>
    RowwiseAdagrad = 2,

    /// <summary>Kingma and Ba with bias correction; weight decay is decoupled. Of a sparse gradient only touched rows move.</summary>
    Adam = 3,
}

/// <summary>A rule and its constants. g includes weightDecay · w, except for Adam, which decays w −= lr · weightDecay · w on its own.</summary>
/// <param name="Kind">Which rule.</param>
/// <param name="LearningRate">At least 0.</param>
/// <param name="Epsilon">Above 0, unused by SGD.</param>
/// <param name="Beta1">Adam, in [0, 1).</param>
/// <param name="Beta2">Adam, in [0, 1).</param>
/// <param name="WeightDecay">At least 0.</param>
public sealed record Optimizer(
    OptimizerKind Kind,
    float LearningRate,
    float Epsilon = 1e-8f,
    float Beta1 = .9f,
    float Beta2 = .999f,
    float WeightDecay = 0)
{
    /// <summary>Stochastic gradient descent.</summary>
    public static Optimizer Sgd(float learningRate, float weightDecay = 0) =>
        new(OptimizerKind.Sgd, learningRate, WeightDecay: weightDecay);

    /// <summary>Adagrad with one state per weight.</summary>
    public static Optimizer Adagrad(float learningRate, float epsilon = 1e-10f, float weightDecay = 0) =>
        new(OptimizerKind.Adagrad, learningRate, epsilon, WeightDecay: weightDecay);

    /// <summary>Adagrad with one state per embedding row.</summary>
    public static Optimizer RowwiseAdagrad(float learningRate, float epsilon = 1e-10f, float weightDecay = 0) =>
        new(OptimizerKind.RowwiseAdagrad, learningRate, epsilon, WeightDecay: weightDecay);

    /// <summary>Adam with decoupled weight decay.</summary>
    public static Optimizer Adam(
        float learningRate, float beta1 = .9f, float beta2 = .999f, float epsilon = 1e-8f, float weightDecay = 0) =>
        new(OptimizerKind.Adam, learningRate, epsilon, beta1, beta2, weightDecay);

    /// <summary>Length of state 1 for a table of <paramref name="rows"/> × <paramref name="dim"/> weights; 0: none.</summary>
    public long State1Length(long rows, long dim) => Kind switch
    {
        OptimizerKind.Sgd => 0,
        OptimizerKind.RowwiseAdagrad => rows,
        _ => rows * dim,
    };

    /// <summary>Length of state 2 for a table of <paramref name="rows"/> × <paramref name="dim"/> weights; 0: none.</summary>
    public long State2Length(long rows, long dim) => Kind == OptimizerKind.Adam ? rows * dim : 0;

    /// <summary>The native form; <paramref name="step"/> counts from 1.</summary>
    public unsafe tt_optimizer ToNative(long step) => new()
    {
        struct_size = sizeof(tt_optimizer),
        kind = (int)Kind,
        learning_rate = LearningRate,
        epsilon = Epsilon,
        beta1 = Beta1,
        beta2 = Beta2,
        weight_decay = WeightDecay,
        step = step,
    };
}
