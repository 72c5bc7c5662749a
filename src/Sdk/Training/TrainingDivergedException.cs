namespace Twintail.Training;

/// <summary>The loss is no longer a finite number. The checkpoint before is whole; lower learning rates usually help.</summary>
public sealed class TrainingDivergedException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public TrainingDivergedException(long step, double mainLoss, double selfLoss)
        : base(FormattableString.Invariant(
            $"the loss is not finite after step {step} (main {mainLoss}, self-supervised {selfLoss}): try lower learning rates or a higher temperature"))
    {
        Step = step;
    }

    /// <summary>The first step, counted from 1, with such a loss.</summary>
    public long Step { get; }
}
