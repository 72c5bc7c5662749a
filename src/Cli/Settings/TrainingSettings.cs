using Twintail.Training;

namespace Twintail.Cli.Settings;

/// <summary>The settings of a training: one for each of <see cref="TrainingOptions"/>.</summary>
internal static class TrainingSettings
{
    private static readonly Dictionary<string, string> Helps = new()
    {
        [nameof(TrainingOptions.Tower)] = "Widths of the hidden layers of both towers; none for linear towers",
        [nameof(TrainingOptions.Dimension)] = "Length of the vectors that the towers end in",
        [nameof(TrainingOptions.IdDimension)] = "Length of the item-id embeddings",
        [nameof(TrainingOptions.FeatureDimension)] = "Length of every other embedding; 0: by vocabulary size",
        [nameof(TrainingOptions.Pooling)] = "How several values, and the items of a history, are pooled",
        [nameof(TrainingOptions.SharedEmbeddings)] = "The user tower reads the embeddings of the item tower",
        [nameof(TrainingOptions.AlignedStart)] = "The user tower starts as a copy of the item tower; needs shared embeddings",
        [nameof(TrainingOptions.HistoryIds)] = "The user tower reads the ids of the history",
        [nameof(TrainingOptions.HistoryContent)] = "The user tower reads the features of the history",
        [nameof(TrainingOptions.HistoryLength)] = "The latest clicks that make a user's history; 0: all",
        [nameof(TrainingOptions.EmbeddingRange)] = "Embeddings start uniform in ± this",
        [nameof(TrainingOptions.BatchSize)] = "Clicks per step, n",
        [nameof(TrainingOptions.Temperature)] = "Temperature τ of the main loss",
        [nameof(TrainingOptions.LearnTemperature)] = "Learn τ too",
        [nameof(TrainingOptions.Correction)] = "Correction of the sampling bias",
        [nameof(TrainingOptions.LogQExponent)] = "Factor on log p in the correction; less than 1 favours the tail",
        [nameof(TrainingOptions.MixedNegatives)] = "Uniformly drawn items added as negatives",
        [nameof(TrainingOptions.IdDropout)] = "Probability that an item's id is hidden in the main loss",
        [nameof(TrainingOptions.HistoryDropout)] = "Probability that an item of the history is left out in training",
        [nameof(TrainingOptions.Alpha)] = "Weight α of the self-supervised loss; 0: off",
        [nameof(TrainingOptions.SelfBatchSize)] = "Items per step in the self-supervised loss, m",
        [nameof(TrainingOptions.SelfTemperature)] = "Temperature τ' of the self-supervised loss",
        [nameof(TrainingOptions.SelfSymmetric)] = "The self-supervised loss is the mean of both directions",
        [nameof(TrainingOptions.Augmentation)] = "Transformations of the two views",
        [nameof(TrainingOptions.MaskRate)] = "Rate of random-mask",
        [nameof(TrainingOptions.ValueRate)] = "Rate of value-dropout",
        [nameof(TrainingOptions.SecondView)] = "What the second view masks under correlated",
        [nameof(TrainingOptions.SeedScope)] = "Whether masks are drawn for each item or for each batch",
        [nameof(TrainingOptions.Relatedness)] = "Measure that says which features are related",
        [nameof(TrainingOptions.SparseOptimizer)] = "Optimiser of the embeddings",
        [nameof(TrainingOptions.SparseLearningRate)] = "Learning rate of the embeddings",
        [nameof(TrainingOptions.SparseWeightDecay)] = "Weight decay of the embeddings",
        [nameof(TrainingOptions.DenseOptimizer)] = "Optimiser of the towers",
        [nameof(TrainingOptions.DenseLearningRate)] = "Learning rate of the towers",
        [nameof(TrainingOptions.DenseWeightDecay)] = "Weight decay of the towers",
        [nameof(TrainingOptions.Schedule)] = "Course of the learning rates",
        [nameof(TrainingOptions.WarmupSteps)] = "Steps over which the rates rise at the start",
        [nameof(TrainingOptions.Precision)] = "Number format of the losses' products",
        [nameof(TrainingOptions.Epochs)] = "Passes over the training clicks",
        [nameof(TrainingOptions.Patience)] = "Epochs without a better recall@20 on the validation clicks before training stops; 0: never",
        [nameof(TrainingOptions.ValidUsers)] = "Users evaluated after each epoch; 0: all",
        [nameof(TrainingOptions.CheckpointEvery)] = "Steps between checkpoints; 0: one after each epoch",
        [nameof(TrainingOptions.LogEvery)] = "Steps between two lines of metrics.jsonl within an epoch; 0: one line after each epoch",
        [nameof(TrainingOptions.Seed)] = "Seed of everything random",
        [nameof(TrainingOptions.Threads)] = "CPU threads; 0: all. Does not change the results",
        [nameof(TrainingOptions.DeviceGraph)] = "Give a GPU each step as one CUDA graph. Does not change the results",
    };

    /// <summary>All of them, with their defaults in the help.</summary>
    public static Setting[] All { get; } = TrainingOptions.Describe().Select(Describe).ToArray();

    /// <summary>Options that nobody has written a help text for.</summary>
    public static IEnumerable<string> Undocumented => TrainingOptions.Describe().Select(o => o.Key).Where(name => !Helps.ContainsKey(name));

    /// <summary>Those that say how the views of an item are drawn.</summary>
    public static Setting[] Views { get; } =
        All.Where(s => s.Name is "augmentation" or "mask-rate" or "value-rate" or "second-view" or "seed-scope" or "relatedness" or "seed").ToArray();

    /// <summary>The setting of the number of threads.</summary>
    public static Setting Threads { get; } = All.Single(s => s.Name == "threads");

    /// <summary>The options with these values; values of other settings are passed over.</summary>
    /// <exception cref="BadArgumentException">A value is of the wrong type or out of range.</exception>
    public static TrainingOptions ToOptions(SettingValues values)
    {
        var options = new TrainingOptions();
        foreach (Setting setting in All)
        {
            if (values.Get(setting.Key) is { } value)
            {
                options.Set(setting.Name, value);
            }
        }

        options.Validate();
        return options;
    }

    /// <summary>All values of these options.</summary>
    public static SettingValues FromOptions(TrainingOptions options)
    {
        var values = new SettingValues();
        foreach (Setting setting in All)
        {
            values[setting.Key] = options.Get(setting.Name);
        }

        return values;
    }

    private static Setting Describe(KeyValuePair<string, Type> option)
    {
        string name = OptionText.Name(option.Key);
        string initial = new TrainingOptions().Get(name);
        string help = Helps.TryGetValue(option.Key, out string? text) ? text : option.Key;
        string choices = option.Value.IsEnum ? ": " + OptionText.Choices(option.Value).Replace(", list-dropout", "", StringComparison.Ordinal) : "";
        return new Setting(name, $"{help}{choices} [{initial}].", Value(option.Value));
    }

    private static string? Value(Type type) =>
        type == typeof(bool) ? null
        : type == typeof(int[]) ? "N,N"
        : type == typeof(float) ? "X"
        : type.IsEnum ? "NAME"
        : "N";
}
