using Twintail.Features;
using Twintail.Ops;
using Twintail.Tests.Cli;
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

    /// <summary>Small enough for the CPU run of the kernels: one where the evaluation takes nearly all, one where the workspace counts.</summary>
    [Test]
    public void IsWhatTheTrainingTakesOnCuda()
    {
        if (!CudaProcess.IsHere())
        {
            return;
        }

        using Device cuda = Device.Cuda();
        var options = new TrainingOptions { Epochs = 1, Patience = 0, Tower = [32], Dimension = 16, BatchSize = 256, SelfBatchSize = 64, FeatureDimension = 16 };
        Compare(cuda, TinyData.Make(40, 600, 8), options with { IdDimension = 256 }, HighOnCuda);
        Compare(cuda, TinyData.Make(12, 300, 40), options with { BatchSize = 1024, IdDimension = 16 }, HighOnCuda);
    }

    /// <summary>What a layer takes by cuBLASLt, of whose own memory the stand-in needs next to nothing.</summary>
    [Test]
    public void CountsWhatCudaTakesForLayersByCublasLt()
    {
        string? library = CudaProcess.Built("libtwintail_fake_cublaslt.so");
        if (!CudaProcess.IsHere(library == null ? [] : ["TWINTAIL_CUBLASLT=" + library]))
        {
            return;
        }

        using Device cuda = Device.Cuda();
        if (!CudaWorkspace.UsesLibrary(cuda))
        {
            Assert.Ignore("no cuBLASLt: " + cuda.Reason);
        }

        const int n = 4096, inputs = 8, outputs = 256;
        using DeviceBuffer<float> x = cuda.Allocate<float>(n * inputs), weights = cuda.Allocate<float>(outputs * inputs);
        using DeviceBuffer<float> y = cuda.Allocate<float>(n * outputs), gradX = cuda.Allocate<float>(n * inputs);
        using DeviceBuffer<float> gradWeights = cuda.Allocate<float>(outputs * inputs);
        Linear.Backward(cuda, n, inputs, outputs, x, weights, Activation.Relu, y, y, gradX, gradWeights, null);
        double masked = sizeof(float) * (double)n * outputs, most = CudaWorkspace.LinearBackward(n, inputs, outputs, isRelu: true, byLibrary: true);
        Assert.That(cuda.Info.WorkspaceBytes, Is.InRange(masked, 1.5 * most), "a workspace grows by halves");
        Assert.That(most, Is.EqualTo(masked + CudaWorkspace.MostByLibrary));
        Assert.That(CudaWorkspace.LinearBackward(n, inputs, outputs, isRelu: false, byLibrary: true), Is.EqualTo(CudaWorkspace.MostByLibrary));

        var options = new TrainingOptions { Tower = [4096], Dimension = 16, BatchSize = 512, SelfBatchSize = 512 };
        MemoryEstimate estimate = MemoryEstimate.Of(cuda, Data(), options);
        var shape = new TrainingShape(Catalogue.FromDataset(Data()), options);
        double hidden = sizeof(float) * (double)shape.ItemRows * 4096;
        Assert.That(estimate.Parts.Single(part => part.Name == "workspace").Bytes, Is.GreaterThan(hidden + CudaWorkspace.MostByLibrary));
    }

    /// <summary>Partial sums of the weights' gradient; a layer of 64 × 64 is cut into as many as its rows allow, a large one into few.</summary>
    [TestCase(128, 64, 64, 0)]
    [TestCase(129, 64, 64, 2 * 64 * 64)]
    [TestCase(100_000, 64, 64, 256 * 64 * 64)]
    [TestCase(20_480, 256, 128, 64 * 256 * 128)]
    [TestCase(20_480, 4096, 4096, 0)]
    public void CountsThePartialSumsOfOwnKernels(long rows, long inputs, long outputs, long floats) => Assert.That(
        CudaWorkspace.LinearBackward(rows, inputs, outputs, isRelu: true, byLibrary: false), Is.EqualTo(sizeof(float) * (double)floats));

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
        // What the library may take is counted at the most, and no bound on what it does take.
        double unused = CudaWorkspace.UsesLibrary(device) ? 1.25 * CudaWorkspace.MostByLibrary : 0;
        long before = Device.LiveBytes;
        long peak = 0;
        for (int run = 0; run < 3 && estimate.Bytes - unused > high * (peak - before); run++)
        {
            // Whoever looks may miss a short peak, and sees no higher one than there is.
            peak = Math.Max(peak, Peak(() =>
            {
                using var trainer = new Trainer(device, data, options);
                trainer.Run();
            }));
        }

        double measured = peak - before;
        TestContext.Out.WriteLine($"{estimate}; measured {measured / 1048576:F1} MiB; {estimate.Bytes / measured:F3} of it");
        foreach (MemoryPart part in estimate.Parts)
        {
            TestContext.Out.WriteLine($"  {part.Name} {part.Bytes / 1048576.0:F2} MiB");
        }

        Assert.That(estimate.Bytes / measured, Is.AtLeast(Low));
        Assert.That((estimate.Bytes - unused) / measured, Is.AtMost(high));
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
