namespace Twintail.Training;

/// <summary>How the sampling bias of in-batch negatives is corrected.</summary>
public enum Correction
{
    /// <summary>Not at all: popular items, drawn often as negatives, are pushed away too hard.</summary>
    None,

    /// <summary>log p_j is subtracted from every column's logit (Yi et al., RecSys 2019), after the temperature.</summary>
    LogQ,
}

/// <summary>Rule by which parameters follow their gradients; see tt_optimizer_kind for the formulas.</summary>
public enum Optimizer
{
    /// <summary>w -= lr g.</summary>
    Sgd,

    /// <summary>Adagrad with one accumulator per weight.</summary>
    Adagrad,

    /// <summary>Adagrad with one accumulator per embedding row (the mean of the squared gradient). Embeddings only.</summary>
    RowwiseAdagrad,

    /// <summary>Adam with bias correction; on embeddings only the touched rows move.</summary>
    Adam,
}

/// <summary>Course of the learning rates over the steps of all epochs.</summary>
public enum Schedule
{
    /// <summary>The rates stay as they are.</summary>
    Constant,

    /// <summary>Falls in a straight line to a tenth at the last step.</summary>
    Linear,

    /// <summary>Falls along half a cosine to a tenth at the last step.</summary>
    Cosine,
}

/// <summary>How the vectors of several values of one feature become one vector.</summary>
public enum Pooling
{
    /// <summary>Their sum.</summary>
    Sum,

    /// <summary>Their mean.</summary>
    Mean,

    /// <summary>Sum / sqrt(count).</summary>
    SqrtN,
}

/// <summary>Number format of the operands of the losses' products; accumulation is always float32.</summary>
public enum Precision
{
    /// <summary>32 bits.</summary>
    Float32,

    /// <summary>bfloat16, where the device is faster with it.</summary>
    BFloat16,
}
