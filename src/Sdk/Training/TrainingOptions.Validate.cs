using System.Globalization;
using Twintail.Ops;

namespace Twintail.Training;

public sealed partial record TrainingOptions
{
    /// <summary>Checks every value.</summary>
    /// <exception cref="BadArgumentException">The first option that is out of range, with what was expected and what came.</exception>
    public void Validate()
    {
        for (int i = 0; i < Tower.Length; i++)
        {
            AtLeast($"{nameof(Tower)}[{i}]", Tower[i], 1);
        }

        AtLeast(nameof(Dimension), Dimension, 1);
        AtLeast(nameof(IdDimension), IdDimension, 1);
        AtLeast(nameof(FeatureDimension), FeatureDimension, 0);
        AtLeast(nameof(HistoryLength), HistoryLength, 0);
        AtLeast(nameof(BatchSize), BatchSize, 1);
        AtLeast(nameof(SelfBatchSize), SelfBatchSize, 1);
        AtLeast(nameof(MixedNegatives), MixedNegatives, 0);
        AtLeast(nameof(WarmupSteps), WarmupSteps, 0);
        AtLeast(nameof(Epochs), Epochs, 0);
        AtLeast(nameof(Patience), Patience, 0);
        AtLeast(nameof(ValidUsers), ValidUsers, 0);
        AtLeast(nameof(CheckpointEvery), CheckpointEvery, 0);
        AtLeast(nameof(LogEvery), LogEvery, 0);
        AtLeast(nameof(Threads), Threads, 0);
        Positive(nameof(EmbeddingRange), EmbeddingRange);
        Positive(nameof(Temperature), Temperature);
        Positive(nameof(SelfTemperature), SelfTemperature);
        NotNegative(nameof(LogQExponent), LogQExponent);
        NotNegative(nameof(Alpha), Alpha);
        NotNegative(nameof(SparseLearningRate), SparseLearningRate);
        NotNegative(nameof(SparseWeightDecay), SparseWeightDecay);
        NotNegative(nameof(DenseLearningRate), DenseLearningRate);
        NotNegative(nameof(DenseWeightDecay), DenseWeightDecay);
        Probability(nameof(IdDropout), IdDropout);
        Probability(nameof(HistoryDropout), HistoryDropout);
        Probability(nameof(MaskRate), MaskRate);
        Probability(nameof(ValueRate), ValueRate);
        Known(nameof(Pooling), Pooling);
        Known(nameof(Correction), Correction);
        Known(nameof(SecondView), SecondView);
        Known(nameof(SeedScope), SeedScope);
        Known(nameof(Relatedness), Relatedness);
        Known(nameof(SparseOptimizer), SparseOptimizer);
        Known(nameof(DenseOptimizer), DenseOptimizer);
        Known(nameof(Schedule), Schedule);
        Known(nameof(Precision), Precision);
        ValidateCombinations();
    }

    private void ValidateCombinations()
    {
        if (DenseOptimizer == OptimizerKind.RowwiseAdagrad)
        {
            throw Bad(nameof(DenseOptimizer), "sgd, adagrad or adam (row-wise Adagrad is for embeddings)", "rowwise-adagrad");
        }

        if (AlignedStart && !SharedEmbeddings)
        {
            throw Bad(nameof(AlignedStart), "false without shared-embeddings, since towers that read different embeddings cannot be aligned", "true");
        }

        const Transforms Both = Transforms.Complementary | Transforms.Correlated;
        if ((Augmentation & Both) == Both)
        {
            throw Bad(nameof(Augmentation), "complementary or correlated, not both", OptionText.Format(Augmentation));
        }

        const Transforms All = Both | Transforms.RandomMask | Transforms.ValueDropout;
        if ((Augmentation & ~All) != 0)
        {
            throw Bad(nameof(Augmentation), "a combination of " + OptionText.Format(All), OptionText.Format(Augmentation));
        }
    }

    private static void AtLeast(string option, int value, int least)
    {
        if (value < least)
        {
            throw Bad(option, $"an integer of at least {least}", value.ToString(CultureInfo.InvariantCulture));
        }
    }

    // The negated comparisons below are false for NaN, too.
    private static void Positive(string option, float value)
    {
        if (!(value > 0 && !float.IsInfinity(value)))
        {
            throw Bad(option, "a finite number above 0", value.ToString("R", CultureInfo.InvariantCulture));
        }
    }

    private static void NotNegative(string option, float value)
    {
        if (!(value >= 0 && !float.IsInfinity(value)))
        {
            throw Bad(option, "a finite number of at least 0", value.ToString("R", CultureInfo.InvariantCulture));
        }
    }

    private static void Probability(string option, float value)
    {
        if (!(value >= 0 && value <= 1))
        {
            throw Bad(option, "a number in [0, 1]", value.ToString("R", CultureInfo.InvariantCulture));
        }
    }

    private static void Known<T>(string option, T value)
        where T : struct, Enum
    {
        if (!Enum.IsDefined(typeof(T), value))
        {
            throw Bad(option, OptionText.Choices(typeof(T)), value.ToString());
        }
    }

    private static BadArgumentException Bad(string option, string expected, string got) =>
        new(OptionText.Name(option), expected, got);
}
