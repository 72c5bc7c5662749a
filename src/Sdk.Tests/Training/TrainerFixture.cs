using Twintail.Features;
using Twintail.Storage;
using Twintail.Tests.Ops;
using Twintail.Training;

namespace Twintail.Tests.Training;

/// <summary>A small training, a folder for it, and what to compare of its outcome.</summary>
internal abstract class TrainerFixture : OpFixture
{
    protected string Root { get; private set; } = "";

    [SetUp]
    public void CreateRoot() => Root = Directory.CreateTempSubdirectory("twintail-tests-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(Root, recursive: true);

    /// <summary>Every part that has a state of its own is switched on.</summary>
    protected static TrainingOptions Small() => new()
    {
        Tower = [16],
        Dimension = 8,
        IdDimension = 8,
        FeatureDimension = 4,
        BatchSize = 32,
        SelfBatchSize = 16,
        MixedNegatives = 8,
        LearnTemperature = true,
        Epochs = 3,
        Patience = 0,
        CheckpointEvery = 4,
        LogEvery = 3,
        SparseOptimizer = Twintail.Ops.OptimizerKind.Adam,
        SparseLearningRate = 0.01f,
        Schedule = Schedule.Cosine,
        WarmupSteps = 3,
    };

    protected static Dataset Data() => TinyData.Make();

    protected string Folder(string name) => Path.Combine(Root, name);

    protected static TrainingResult Train(Device device, TrainingOptions options, string? directory)
    {
        using var trainer = new Trainer(device, Data(), options, directory);
        return trainer.Run();
    }

    /// <summary>All tensors of the last checkpoint and of the best weights, as bytes.</summary>
    protected static Dictionary<string, byte[]> Outcome(string directory)
    {
        var outcome = new Dictionary<string, byte[]>();
        foreach (string name in new[] { "checkpoint", "weights" })
        {
            using var file = new SafetensorsReader(Path.Combine(directory, name + ".safetensors"));
            foreach (string tensor in file.Names)
            {
                outcome[$"{name}/{tensor}"] = Bits.Of(file.Read<float>(tensor));
            }
        }

        return outcome;
    }

    /// <summary>metrics.jsonl without what the clock says.</summary>
    protected static string[] Metrics(string directory) =>
    [
        .. File.ReadAllLines(Path.Combine(directory, "metrics.jsonl")).Select(line => string.Join(
            ", ", line.Split(", ").Where(x => !x.Contains("\"clicks_per_second\"") && !x.Contains("\"seconds\"")))),
    ];

    protected static void AssertSame(string directory, string other, string what)
    {
        Dictionary<string, byte[]> a = Outcome(directory), b = Outcome(other);
        Assert.That(a.Keys, Is.EquivalentTo(b.Keys), what);
        foreach (string tensor in a.Keys)
        {
            Assert.That(a[tensor], Is.EqualTo(b[tensor]), $"{what}: {tensor}");
        }

        Assert.That(Metrics(directory), Is.EqualTo(Metrics(other)), what);
    }
}
