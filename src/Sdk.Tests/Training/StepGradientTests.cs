using TorchSharp;
using Twintail.Augmentation;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Tests.Ops;
using Twintail.Training;
using static TorchSharp.torch;

namespace Twintail.Tests.Training;

/// <summary>
/// One whole step against the same model in TorchSharp: with SGD at rate 1 everywhere a step takes the gradient off the weights, so that
/// weights before minus weights after are the gradient.
/// </summary>
internal sealed unsafe class StepGradientTests : OpFixture
{
    private const long StepNumber = 5;

    private static TrainingOptions Options() => new()
    {
        Tower = [12, 7],
        Dimension = 5,
        IdDimension = 6,
        FeatureDimension = 4,
        EmbeddingRange = 0.5f,
        BatchSize = 40,
        SelfBatchSize = 13,
        MixedNegatives = 9,
        Alpha = 0.7f,
        Temperature = 0.2f,
        SelfTemperature = 0.3f,
        Augmentation = Transforms.Correlated,
        SparseOptimizer = OptimizerKind.Sgd,
        SparseLearningRate = 1,
        DenseOptimizer = OptimizerKind.Sgd,
        DenseLearningRate = 1,
        LogQExponent = 0.9f,
    };

    private static IEnumerable<TestCaseData> Cases()
    {
        static TestCaseData Named(string name, TrainingOptions options) => new TestCaseData(options).SetArgDisplayNames(name);
        yield return Named("correlated", Options());
        yield return Named("correlated, independent, per batch, with value dropout", Options() with
        {
            SecondView = SecondView.Independent,
            SeedScope = SeedScope.PerBatch,
            Augmentation = Transforms.Correlated | Transforms.ValueDropout,
        });
        yield return Named("complementary with random mask, symmetric", Options() with
        {
            Augmentation = Transforms.Complementary | Transforms.RandomMask,
            MaskRate = 0.2f,
            SelfSymmetric = true,
        });
        yield return Named("shared embeddings, learnt temperature", Options() with { SharedEmbeddings = true, LearnTemperature = true });
        yield return Named("nothing but the plain softmax", Options() with
        {
            Alpha = 0,
            Correction = Correction.None,
            MixedNegatives = 0,
            IdDropout = 0,
            HistoryDropout = 0,
        });
        yield return Named("linear towers, short histories without content", Options() with { Tower = [], HistoryContent = false, HistoryLength = 3 });
    }

    [TestCaseSource(nameof(Cases))]
    public void AStepTakesTheGradientOfTheWholeLoss(TrainingOptions options)
    {
        Dataset data = TinyData.Make(users: 25, items: 20, clicksPerUser: 6, coldItems: 4);
        Catalogue catalogue = Catalogue.FromDataset(data);
        using var network = new Network(Device, catalogue, options, StepOptimizers.SparseRule(options));
        network.Initialize(options);
        using var clicks = new ClickStream(Device, data.Splits["train"], options.BatchSize, options.Seed);
        using var step = new TrainingStep(network, catalogue, options, clicks.MaxBatch);
        var torch = new TorchTwoTower(network);
        float[][] embeddings = Array.ConvertAll(network.Embeddings, x => x.Weights.ToArray());
        float[] layers = network.Parameters.ToArray();
        float inverseTemperature = network.InverseTemperature;

        step.Run(clicks, StepNumber, 1);
        (double main, double self) = Oracle(torch, network, step.Buffers, clicks.BatchSize(StepNumber), catalogue, options);

        Span<double> losses = stackalloc double[2];
        step.ReadLosses(StepNumber, losses[..1], losses[1..]);
        Assert.That(losses[0], Is.EqualTo(main).Within(1e-4).Percent);
        Assert.That(losses[1], Is.EqualTo(self).Within(1e-4).Percent);
        for (int e = 0; e < embeddings.Length; e++)
        {
            Compare(network.Layout.Embeddings[e].Name, embeddings[e], network.Embeddings[e].Weights.ToArray(), torch.EmbeddingGradients[e]);
        }

        Compare("layers", layers, network.Parameters.ToArray(), torch.LayerGradients);
        if (options.LearnTemperature)
        {
            double learnt = Math.Log(inverseTemperature) - Torch.Gradient(torch.LogInverseTemperature)[0];
            step.Optimizers.ReadTemperature();
            Assert.That(Math.Log(network.InverseTemperature), Is.EqualTo(learnt).Within(1e-5));
            Assert.That(network.InverseTemperature, Is.Not.EqualTo(inverseTemperature));
        }
    }

    /// <summary>Both losses of the step in float64; leaves the gradients in the model's leaves.</summary>
    private (double Main, double Self) Oracle(
        TorchTwoTower torch, Network network, StepBuffers buffers, int n, Catalogue catalogue, TrainingOptions options)
    {
        using DeviceBuffer<int> users = Device.Upload(buffers.ClickedUsers.ToArray()[..n]);
        using DeviceBuffer<int> items = Device.Upload(buffers.Columns.ToArray()[..n]);
        using DeviceBuffer<int> columns = Device.Upload(buffers.Columns.ToArray()[..(n + options.MixedNegatives)]);
        Tensor queries = torch.Encode(network.UserTower, network.Users, new GatherView(users, null)
        {
            LeftOut = items,
            Augmentation = Augment(options, Transforms.ListDropout, 0, Purpose.HistoryDropout) with { ListRate = options.HistoryDropout },
        });
        Tensor candidates = torch.Encode(network.ItemTower, network.Items, new GatherView(columns, null)
        {
            Augmentation = Augment(options, Transforms.RandomMask, 1, Purpose.IdDropout) with { MaskRate = options.IdDropout },
        });

        // Q of a column: n clicks by share and B' uniform draws, to the power of the exponent. The step is one of the largest batches,
        // of 34 clicks, which Q goes by; options.BatchSize is 40.
        double total = catalogue.Clicks.Sum();
        double[]? logQ = options.Correction == Correction.None ? null : Array.ConvertAll(columns.ToArray(), item => options.LogQExponent * Math.Log(
            ((n * catalogue.Clicks[item] / total) + ((double)options.MixedNegatives / catalogue.Items.Rows))
            / (n + options.MixedNegatives)));
        Tensor main = TorchTwoTower.Loss(queries, candidates, torch.LogInverseTemperature.exp(), logQ, columns.ToArray());
        Tensor self = options.IsSelfSupervised ? SelfLoss(torch, network, buffers, catalogue, options) : zeros_like(main);
        (main + (options.Alpha * self)).backward();
        return (main.item<double>(), self.item<double>());
    }

    private Tensor SelfLoss(TorchTwoTower torch, Network network, StepBuffers buffers, Catalogue catalogue, TrainingOptions options)
    {
        int[] rows = buffers.SelfItems.ToArray();
        Tensor[] views = [.. new[] { 1, 2 }.Select(view => torch.Encode(network.ItemTower, network.Items, new GatherView(buffers.SelfItems, null)
        {
            View = view,
            Augmentation = Augment(options, options.Augmentation, (1ul << network.Items.Features.Count) - 1, Purpose.SelfViews) with
            {
                Correlated = CorrelatedSets.Create(Device, catalogue.Items, options),
                MaskRate = options.MaskRate,
                ValueRate = options.ValueRate,
                SecondView = options.SecondView,
                SeedScope = options.SeedScope,
            },
        }))];
        Tensor scale = tensor(1 / (double)options.SelfTemperature);
        Tensor forth = TorchTwoTower.Loss(views[0], views[1], scale, null, rows);
        return options.SelfSymmetric ? (forth + TorchTwoTower.Loss(views[1], views[0], scale, null, rows)) / 2 : forth;
    }

    private static ViewAugmentation Augment(TrainingOptions options, Transforms transforms, ulong maskable, Purpose purpose) =>
        new(transforms, maskable, (ulong)options.Seed, (uint)purpose, StepNumber);

    private static void Compare(string what, float[] before, float[] after, double[] gradient)
    {
        double largest = gradient.Max(Math.Abs);
        Assert.That(largest, Is.GreaterThan(1e-5), $"{what} has a gradient");
        for (int i = 0; i < gradient.Length; i++)
        {
            // float32 in the whole chain, and the subtraction of weights that are up to 1.
            Assert.That((double)before[i] - after[i], Is.EqualTo(gradient[i]).Within((3e-5 * largest) + 1.2e-7), $"{what}[{i}]");
        }
    }
}
