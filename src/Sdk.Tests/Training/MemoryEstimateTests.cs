using Twintail.Features;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Tests.Training;

/// <summary>The estimate of a training's memory against what the training takes.</summary>
internal sealed class MemoryEstimateTests : TrainerFixture
{
    private const double Low = 0.9;
    private const double High = 1.3;

    /// <summary>The more multiprocessors, the more work is done at once; the estimate is that of the largest devices.</summary>
    private const double HighOnCuda = 2;

    private static IEnumerable<TestCaseData> Shapes()
    {
        var options = new TrainingOptions { Epochs = 1, Patience = 0, Tower = [64], Dimension = 32, BatchSize = 512, SelfBatchSize = 256 };
        yield return new TestCaseData(TinyData.Make(3000, 30000, 10), options with { IdDimension = 256, SparseOptimizer = OptimizerKind.RowwiseAdagrad })
            .SetName("{m}(wide tables, row-wise Adagrad)");
        yield return new TestCaseData(TinyData.Make(3000, 30000, 10), options with { IdDimension = 128, SparseOptimizer = OptimizerKind.Adam })
            .SetName("{m}(wide tables, Adam)");
        yield return new TestCaseData(TinyData.Make(3000, 2000, 10), options with { BatchSize = 8192, SelfBatchSize = 8192, MixedNegatives = 4096, Tower = [256, 128] })
            .SetName("{m}(large batch)");
        yield return new TestCaseData(TinyData.Make(2000, 1500, 60), options with { BatchSize = 4096, FeatureDimension = 16, IdDimension = 16, Alpha = 0, HistoryDropout = 0 })
            .SetName("{m}(long histories)");
    }

    [TestCaseSource(nameof(Shapes))]
    public void IsWhatTheTrainingTakes(Dataset data, TrainingOptions options) => Compare(Device, data, options, High);

    [Test]
    public void IsWhatTheTrainingTakesOnCuda()
    {
        if (!Device.Probe(DeviceKind.Cuda).IsAvailable)
        {
            Assert.Ignore("no CUDA device");
        }

        // Small enough for the CPU run of the kernels (TWINTAIL_CUDA_PLUGIN).
        using Device cuda = Device.Cuda();
        var options = new TrainingOptions { Epochs = 1, Patience = 0, Tower = [32], Dimension = 16, BatchSize = 256, SelfBatchSize = 64, FeatureDimension = 16 };
        Compare(cuda, TinyData.Make(300, 8000, 10), options with { IdDimension = 256 }, HighOnCuda);
        Compare(cuda, TinyData.Make(100, 300, 40), options with { BatchSize = 1024, IdDimension = 16 }, HighOnCuda);
    }

    [Test]
    public void TakesNothingItself()
    {
        long before = Device.LiveBytes;
        MemoryEstimate estimate = MemoryEstimate.Of(Device, Data(), Small());
        Assert.That(Device.LiveBytes, Is.EqualTo(before));
        Assert.That(estimate.FreeBytes, Is.GreaterThan(estimate.Bytes));
        Assert.That(() => estimate.Check(), Throws.Nothing);
        Assert.That(estimate.ToString(), Does.StartWith("about ").And.Contain(" free").And.Contain("batch "));
    }

    [Test]
    public void RefusesWhatDoesNotFitAndNamesTheLargestPart()
    {
        foreach ((TrainingOptions options, string part, string remedy) in new[]
        {
            (Small() with { Tower = [2_000_000, 2_000_000] }, "towers", "--tower"),
            (Small() with { SelfBatchSize = 2_000_000_000, Tower = [30000] }, "batch", "--self-batch-size"),
        })
        {
            MemoryEstimate estimate = MemoryEstimate.Of(Device, Data(), options);
            Assert.That(estimate.IsTooMuch, estimate.ToString());
            DeviceOutOfMemoryException error = Assert.Throws<DeviceOutOfMemoryException>(() => estimate.Check())!;
            Assert.That(error.Message, Does.Contain(part).And.Contain(remedy));
            Assert.That(error.AskedBytes, Is.EqualTo(estimate.Bytes));
            Assert.That(error.FreeBytes, Is.EqualTo(estimate.FreeBytes));
        }
    }

    [Test]
    public void NeedsClicks() => Refused("dataset", () => MemoryEstimate.Of(
        Device, new Dataset(Data().Items, Data().Users, new Dictionary<string, Interactions>()), Small()));

    private static void Compare(Device device, Dataset data, TrainingOptions options, double high)
    {
        MemoryEstimate estimate = MemoryEstimate.Of(device, data, options);
        long before = Device.LiveBytes;
        long peak = Peak(() =>
        {
            using var trainer = new Trainer(device, data, options);
            trainer.Run();
        });
        double measured = peak - before;
        TestContext.Out.WriteLine($"{estimate}; measured {measured / 1048576:F1} MiB; {estimate.Bytes / measured:F3} of it");
        foreach (MemoryPart part in estimate.Parts)
        {
            TestContext.Out.WriteLine($"  {part.Name} {part.Bytes / 1048576.0:F2} MiB");
        }

        Assert.That(estimate.Bytes / measured, Is.InRange(Low, high));
        Assert.That(estimate.Bytes, Is.EqualTo(estimate.Parts.Sum(part => part.Bytes)));
    }

    /// <summary>The most live bytes while something runs; looked up all the time from another thread.</summary>
    private static long Peak(Action run)
    {
        long peak = 0;
        bool ended = false;
        var watcher = new Thread(() =>
        {
            while (!Volatile.Read(ref ended))
            {
                peak = Math.Max(peak, Device.LiveBytes);
                Thread.Sleep(0);
            }
        });
        watcher.Start();
        try
        {
            run();
        }
        finally
        {
            Volatile.Write(ref ended, true);
            watcher.Join();
        }

        return peak;
    }
}
