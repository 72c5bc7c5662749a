using Twintail.Evaluation;

namespace Twintail.Training;

/// <summary>State of a running training, reported a few times a second and after each epoch.</summary>
public sealed class TrainingProgress
{
    /// <summary>Epoch, counted from 1.</summary>
    public int Epoch { get; set; }

    /// <summary>Epochs asked for.</summary>
    public int Epochs { get; set; }

    /// <summary>Steps done.</summary>
    public long Step { get; set; }

    /// <summary>Steps of all epochs.</summary>
    public long Steps { get; set; }

    /// <summary>Clicks trained on per second, since this process started or resumed the training.</summary>
    public double ClicksPerSecond { get; set; }

    /// <summary>Time left if all epochs are run, evaluation not counted.</summary>
    public TimeSpan TimeLeft { get; set; }

    /// <summary>Mean main loss of the epoch so far.</summary>
    public double MainLoss { get; set; }

    /// <summary>Mean self-supervised loss of the epoch so far, without the factor α; 0 where it is off.</summary>
    public double SelfLoss { get; set; }

    /// <summary>τ in use.</summary>
    public double Temperature { get; set; }

    /// <summary>Metrics on the valid split; only in the report at the end of an epoch, and null without such a split.</summary>
    public EvaluationReport? Valid { get; set; }
}

/// <summary>Why a training came to its end.</summary>
public enum TrainingEnd
{
    /// <summary>All epochs are done.</summary>
    Finished,

    /// <summary>No better recall on the valid split for <see cref="TrainingOptions.Patience"/> epochs.</summary>
    StoppedEarly,

    /// <summary>Cancelled; the checkpoint holds the last finished step.</summary>
    Canceled,
}

/// <summary>Outcome of <see cref="Trainer.Run"/>.</summary>
public sealed class TrainingResult
{
    /// <summary>Why it ended.</summary>
    public TrainingEnd End { get; set; }

    /// <summary>Epochs done in all.</summary>
    public int Epochs { get; set; }

    /// <summary>Steps done in all.</summary>
    public long Steps { get; set; }

    /// <summary>The epoch, counted from 1, whose weights the model has; 0 if none was finished.</summary>
    public int BestEpoch { get; set; }

    /// <summary>Recall@20 on the valid split of that epoch; NaN without a valid split.</summary>
    public double BestRecall { get; set; }

    /// <summary>Seconds spent in this process.</summary>
    public double Seconds { get; set; }
}
