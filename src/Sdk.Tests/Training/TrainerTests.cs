using Twintail.Augmentation;
using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Tests.Training;

internal sealed class TrainerTests : TrainerFixture
{
    [Test]
    public void TheNumberOfThreadsDoesNotChangeABit()
    {
        foreach (int threads in new[] { 1, 2, 3 })
        {
            using Device device = Device.Cpu(threads);
            Train(device, Small(), Folder($"{threads}"));
        }

        AssertSame(Folder("2"), Folder("1"), "2 threads and 1");
        AssertSame(Folder("3"), Folder("1"), "3 threads and 1");
    }

    [Test]
    public void ABatchLargerThanAllClicksIsThatOfAllClicks()
    {
        // The mixed negatives count against the clicks that a step has, not against those that it was allowed.
        TrainingOptions options = Small() with { BatchSize = Data().Splits["train"].Count };
        Train(Device, options, Folder("all"));
        foreach (int larger in new[] { options.BatchSize + 1, 100 * options.BatchSize })
        {
            Train(Device, options with { BatchSize = larger }, Folder($"{larger}"));
            AssertSame(Folder($"{larger}"), Folder("all"), $"batch size {larger} and {options.BatchSize}");
        }
    }

    [Test]
    public void AnotherSeedTrainsAnotherModel()
    {
        Train(Device, Small(), Folder("a"));
        Train(Device, Small() with { Seed = 2 }, Folder("b"));

        Assert.That(Outcome(Folder("a"))["weights/item_tower.0.weight"], Is.Not.EqualTo(Outcome(Folder("b"))["weights/item_tower.0.weight"]));
    }

    [Test]
    public void BeatsPopularityOnWarmItemsAndChanceOnColdOnes()
    {
        Dataset data = TinyData.Make(users: 400, items: 240, clicksPerUser: 10, tastes: 6, coldItems: 60);
        TrainingOptions options = Small() with { Epochs = 12, BatchSize = 128, SelfBatchSize = 64, SparseOptimizer = OptimizerKind.RowwiseAdagrad, SparseLearningRate = 0.1f, DenseLearningRate = 0.003f };
        using var trainer = new Trainer(Device, data, options);
        trainer.Run();

        var warm = new Evaluator(trainer.Model.Catalogue, data.Splits);
        EvaluationReport model = warm.Evaluate(trainer.Model);
        EvaluationReport popularity = warm.EvaluatePopularity(Device);
        EvaluationReport difference = model.Against(popularity);
        TestContext.Out.WriteLine($"warm {model["all"].Recall(20)}, popularity {popularity["all"].Recall(20)}, difference {difference["all"].Recall(20)}");
        Assert.That(difference["all"].Recall(20).Low, Is.GreaterThan(0.1));

        var cold = new Evaluator(trainer.Model.Catalogue, data.Splits, new EvaluationOptions { Splits = ["test_cold"], Candidates = Candidates.Cold, Ks = [1, 3] });
        EvaluationReport coldModel = cold.Evaluate(trainer.Model);
        EvaluationReport chance = cold.EvaluateRandom(Device);
        TestContext.Out.WriteLine($"cold {coldModel["cold"].Recall(3)}, chance {chance["cold"].Recall(3)}");
        Assert.That(coldModel["cold"].Recall(1).Low, Is.GreaterThan(chance["cold"].Recall(1).High + 0.1));
    }

    [Test]
    public void EarlyStoppingKeepsTheBestEpoch()
    {
        // At this learning rate the model overshoots; whenever that is, the folder must hold the weights of the best epoch.
        TrainingOptions options = Small() with { Epochs = 40, Patience = 2, SparseLearningRate = 0.05f, DenseLearningRate = 0.05f };
        var recalls = new List<double>();
        using var trainer = new Trainer(Device, Data(), options, Folder("run"));
        TrainingResult result = trainer.Run(new EachEpoch(x => recalls.Add(x.Valid!["all"].Recall(20).Value)));

        Assert.That(result.End, Is.EqualTo(TrainingEnd.StoppedEarly));
        Assert.That(result.BestRecall, Is.EqualTo(recalls.Max()));
        Assert.That(result.BestEpoch, Is.EqualTo(recalls.IndexOf(recalls.Max()) + 1));
        Assert.That(result.Epochs, Is.EqualTo(result.BestEpoch + 2));
        var evaluator = new Evaluator(trainer.Model.Catalogue, Data().Splits, new EvaluationOptions { Splits = ["valid"], BootstrapSamples = 0 });
        Assert.That(evaluator.Evaluate(trainer.Model)["all"].Recall(20).Value, Is.EqualTo(recalls.Max()));
        using TwoTowerModel loaded = TwoTowerModel.Load(Device, Folder("run"));
        Assert.That(evaluator.Evaluate(loaded)["all"].Recall(20).Value, Is.EqualTo(recalls.Max()));

        using var inMemory = new Trainer(Device, Data(), options);
        inMemory.Run();
        Assert.That(inMemory.Model.EmbedItems([0, 1, 2]), Is.EqualTo(trainer.Model.EmbedItems([0, 1, 2])));
    }

    [Test]
    public void AStepAllocatesNothing()
    {
        TrainingOptions options = Small() with { Augmentation = Transforms.Correlated | Transforms.ValueDropout };
        Catalogue catalogue = Catalogue.FromDataset(Data());
        using var network = new Network(Device, catalogue, options, StepOptimizers.SparseRule(options));
        network.Initialize(options);
        using var clicks = new ClickStream(Device, Data().Splits["train"], 1, options.Seed); // one long epoch
        using var step = new TrainingStep(network, catalogue, options, clicks.MaxBatch);
        long at = 0;
        for (; at < 100; at++)
        {
            step.Run(clicks, at, 1);
        }

        long before = GC.GetAllocatedBytesForCurrentThread();
        for (; at < 200; at++)
        {
            step.Run(clicks, at, 1);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ALossThatIsNotFiniteEndsTheTrainingAndKeepsTheCheckpoint([Values] bool learnTemperature)
    {
        TrainingOptions options = Small() with { DenseOptimizer = OptimizerKind.Sgd, DenseLearningRate = 1e38f, Augmentation = Transforms.None, LearnTemperature = learnTemperature };
        using var trainer = new Trainer(Device, Data(), options, Folder("run"));

        TrainingDivergedException error = Assert.Throws<TrainingDivergedException>(() => trainer.Run())!;
        Assert.That(error.Step, Is.GreaterThan(0));
        Assert.That(error.Message, Does.Contain("learning rates"));
    }

    [Test]
    public void MetricsHaveALineForEveryEpochAndInBetween()
    {
        Train(Device, Small(), Folder("run"));
        string[] lines = File.ReadAllLines(Path.Combine(Folder("run"), "metrics.jsonl"));

        Assert.That(lines.Count(x => x.Contains("\"kind\": \"epoch\"")), Is.EqualTo(3));
        Assert.That(lines.Count(x => x.Contains("\"kind\": \"steps\"")), Is.GreaterThan(3));
        foreach (string line in lines)
        {
            using var json = System.Text.Json.JsonDocument.Parse(line);
            Assert.That(json.RootElement.GetProperty("main_loss").GetDouble(), Is.InRange(0.1, 20));
        }
    }

    [Test]
    public void RefusesDataWithoutTrainingClicks()
    {
        Dataset data = Data();
        Refused("dataset", () => new Trainer(Device, new Dataset(data.Items, data.Users, new Dictionary<string, Interactions>()), Small()).Dispose());
        Refused("history-ids, history-content", () => new Trainer(
            Device,
            new Dataset(data.Items, new FeatureTable(data.Users.Ids, []), data.Splits),
            Small() with { HistoryIds = false, HistoryContent = false }).Dispose());
    }

    private sealed class EachEpoch(Action<TrainingProgress> act) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Valid != null)
            {
                act(value);
            }
        }
    }
}
