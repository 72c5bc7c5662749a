namespace Twintail.Training;

/// <summary>How the sampling bias of in-batch negatives is corrected.</summary>
public enum Correction
{
    /// <summary>Not at all: popular items, drawn often as negatives, are pushed away too hard.</summary>
    None,

    /// <summary>log p_j is subtracted from every column's logit (Yi et al., RecSys 2019), after the temperature.</summary>
    LogQ,
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
