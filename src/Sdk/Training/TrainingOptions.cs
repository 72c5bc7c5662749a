using Twintail.Augmentation;
using Twintail.Ops;

namespace Twintail.Training;

/// <summary>
/// Everything that decides how a model is trained. Flat, so that each property is one entry of a JSON file (snake_case) and one
/// option of the command line (kebab-case); see <see cref="FromJson"/>, <see cref="ToJson"/> and <see cref="Set"/>.
/// The properties that are not explained further follow the formulas of Yi et al. (RecSys 2019) and Yao et al. (CIKM 2021).
/// </summary>
public sealed partial record TrainingOptions
{
    // ---- model ------------------------------------------------------------------------------------------------

    /// <summary>Widths of the hidden layers (ReLU) of both towers, from the input on; empty for a linear tower.</summary>
    public int[] Tower { get; set; } = { 256, 128 };

    /// <summary>Length d of the vectors that the towers end in.</summary>
    public int Dimension { get; set; } = 64;

    /// <summary>Length of the item-id embeddings.</summary>
    public int IdDimension { get; set; } = 64;

    /// <summary>Length of every other embedding; 0: by vocabulary size (8 up to 16 values, 16 up to 256, 32 up to 4096, else 64).</summary>
    public int FeatureDimension { get; set; } = 64;

    /// <summary>How several values of a feature, and the items of a history, are pooled.</summary>
    public Pooling Pooling { get; set; } = Pooling.Mean;

    /// <summary>Whether the user tower reads the embeddings of the item tower instead of its own.</summary>
    public bool SharedEmbeddings { get; set; }

    /// <summary>
    /// Whether the user tower's weights start as a copy of the item tower's. With <see cref="SharedEmbeddings"/>, which this needs, a
    /// user's vector then starts near the mean of those of the items in the history: items with the same values as those score high
    /// from the first step on, even where there are few clicks to learn it from.
    /// </summary>
    public bool AlignedStart { get; set; }

    /// <summary>Whether the user tower reads the ids of the items in the history.</summary>
    public bool HistoryIds { get; set; } = true;

    /// <summary>Whether the user tower reads the features of the items in the history.</summary>
    public bool HistoryContent { get; set; } = true;

    /// <summary>The latest training clicks of a user that make the history; 0: all.</summary>
    public int HistoryLength { get; set; }

    /// <summary>Embeddings start uniform in ±this.</summary>
    public float EmbeddingRange { get; set; } = 0.05f;

    // ---- main loss --------------------------------------------------------------------------------------------

    /// <summary>Clicks per step, n.</summary>
    public int BatchSize { get; set; } = 2048;

    /// <summary>τ of the main loss. Smaller values favour the items that have clicks, larger ones those without.</summary>
    public float Temperature { get; set; } = 0.1f;

    /// <summary>
    /// Whether τ is learnt too (through log 1/τ, at the dense learning rate). No step waits for it: τ stays on the device, and is read
    /// there together with the losses (every 64 steps, and for log lines, checkpoints and reports of progress).
    /// </summary>
    public bool LearnTemperature { get; set; }

    /// <summary>Correction of the sampling bias.</summary>
    public Correction Correction { get; set; } = Correction.LogQ;

    /// <summary>Factor on log p in the correction: 1 removes the bias, less keeps a part of it (which favours the tail).</summary>
    public float LogQExponent { get; set; } = 1f;

    /// <summary>
    /// Uniformly drawn items B' added as columns (mixed negatives, Yang et al. 2020); 0: none. Q is then the mixture. Items without a
    /// click are among them, so that the model learns that nobody clicks these: it hardly recommends new items any more.
    /// </summary>
    public int MixedNegatives { get; set; }

    /// <summary>Probability that the id of an item in the main loss becomes the default, so that the model learns to go by content.</summary>
    public float IdDropout { get; set; } = 0.3f;

    /// <summary>Probability that an item of the history is left out in training.</summary>
    public float HistoryDropout { get; set; } = 0.5f;

    // ---- self-supervised loss ---------------------------------------------------------------------------------

    /// <summary>Weight α of the self-supervised loss; 0: off.</summary>
    public float Alpha { get; set; } = 0.1f;

    /// <summary>Items per step, m, drawn uniformly from the whole catalogue.</summary>
    public int SelfBatchSize { get; set; } = 1024;

    /// <summary>τ' of the self-supervised loss.</summary>
    public float SelfTemperature { get; set; } = 0.2f;

    /// <summary>Whether the self-supervised loss is the mean of both directions.</summary>
    public bool SelfSymmetric { get; set; }

    /// <summary>
    /// Transformations of the two views; <see cref="Transforms.None"/>: self-supervision is off. The default was chosen on
    /// validation clicks of a synthetic catalogue and of two real ones; docs/quality.md tells what the others did there.
    /// </summary>
    public Transforms Augmentation { get; set; } = Transforms.Complementary;

    /// <summary>Rate of <see cref="Transforms.RandomMask"/>.</summary>
    public float MaskRate { get; set; } = 0.5f;

    /// <summary>Rate of <see cref="Transforms.ValueDropout"/>.</summary>
    public float ValueRate { get; set; } = 0.5f;

    /// <summary>The second view under <see cref="Transforms.Correlated"/>.</summary>
    public SecondView SecondView { get; set; } = SecondView.Complement;

    /// <summary>Whether masks, splits and seeds are drawn for each item or for each batch.</summary>
    public SeedScope SeedScope { get; set; } = SeedScope.PerRow;

    /// <summary>Measure that says which features are most related.</summary>
    public Relatedness Relatedness { get; set; } = Relatedness.Adjusted;

    // ---- optimisers -------------------------------------------------------------------------------------------

    /// <summary>Optimiser of the embeddings.</summary>
    public OptimizerKind SparseOptimizer { get; set; } = OptimizerKind.RowwiseAdagrad;

    /// <summary>Learning rate of the embeddings.</summary>
    public float SparseLearningRate { get; set; } = 0.05f;

    /// <summary>Weight decay of the embeddings (touched rows only).</summary>
    public float SparseWeightDecay { get; set; }

    /// <summary>Optimiser of the towers; not <see cref="OptimizerKind.RowwiseAdagrad"/>.</summary>
    public OptimizerKind DenseOptimizer { get; set; } = OptimizerKind.Adam;

    /// <summary>Learning rate of the towers.</summary>
    public float DenseLearningRate { get; set; } = 0.001f;

    /// <summary>Weight decay of the towers.</summary>
    public float DenseWeightDecay { get; set; }

    /// <summary>Course of both learning rates.</summary>
    public Schedule Schedule { get; set; } = Schedule.Constant;

    /// <summary>Steps over which both rates rise from 0 at the start.</summary>
    public int WarmupSteps { get; set; }

    /// <summary>Number format of the losses' products.</summary>
    public Precision Precision { get; set; } = Precision.Float32;

    // ---- course of the training -------------------------------------------------------------------------------

    /// <summary>Passes over the training clicks.</summary>
    public int Epochs { get; set; } = 10;

    /// <summary>Epochs without a better recall@20 on the valid split before training stops; 0: never early.</summary>
    public int Patience { get; set; } = 2;

    /// <summary>Users of the valid split that are evaluated after each epoch (drawn once); 0: all.</summary>
    public int ValidUsers { get; set; } = 5000;

    /// <summary>Steps between checkpoints; 0: one after each epoch. A checkpoint after each epoch is always made.</summary>
    public int CheckpointEvery { get; set; }

    /// <summary>Steps between two lines of metrics.jsonl within an epoch; 0: only a line after each epoch.</summary>
    public int LogEvery { get; set; } = 100;

    /// <summary>Seed of everything random.</summary>
    public long Seed { get; set; } = 1;

    /// <summary>CPU threads; 0: all. Does not change the results.</summary>
    public int Threads { get; set; }

    /// <summary>Whether a GPU is given each step as one CUDA graph, where that is supported. Does not change the results.</summary>
    public bool DeviceGraph { get; set; } = true;

    /// <summary>Whether the self-supervised loss is on.</summary>
    public bool IsSelfSupervised => Alpha > 0 && Augmentation != Transforms.None;

    /// <summary>A copy that shares nothing with this one. All but the tower's widths are values.</summary>
    internal TrainingOptions Copy() => this with { Tower = (int[])Tower.Clone() };
}
