using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Storage;
using Twintail.Training;

namespace Twintail.Tests.Training;

/// <summary>What a trainer owns: its options and its memory.</summary>
internal sealed class TrainerLifetimeTests : TrainerFixture
{
    [Test]
    public void OptionsThatChangeAfterwardsChangeNothing()
    {
        // Smaller numbers than before, so that nothing writes outside its memory should it go by them.
        static void Change(TrainingOptions options)
        {
            options.Tower[0] = 3;
            options.Dimension = 4;
            options.BatchSize = 7;
            options.MixedNegatives = 2;
            options.SelfBatchSize = 5;
            options.Alpha = 0.7f;
            options.SelfTemperature = 1;
            options.LearnTemperature = false;
            options.Epochs = 1;
            options.LogEvery = 1;
            options.CheckpointEvery = 0;
            options.Schedule = Schedule.Constant;
            options.Seed = 9;
        }

        Train(Device, Small(), Folder("unchanged"));
        TrainingOptions options = Small();
        using var trainer = new Trainer(Device, Data(), options, Folder("changed"));
        Change(options);
        Change(trainer.Options);
        Change(trainer.Model.Options);
        trainer.Run();

        AssertSame(Folder("changed"), Folder("unchanged"), "with options that change and without");
        Assert.That(trainer.Options.ToJson(), Is.EqualTo(Small().ToJson()));
        Assert.That(trainer.Model.Options.ToJson(), Is.EqualTo(Small().ToJson()));
        using var checkpoint = new SafetensorsReader(Path.Combine(Folder("changed"), "checkpoint.safetensors"));
        Assert.That(TrainingOptions.FromJson(checkpoint.Metadata["options"]).ToJson(), Is.EqualTo(Small().ToJson()));
    }

    [Test]
    public void ATrainerThatCannotBeMadeFreesWhatItTook()
    {
        // 2 · 2e9 rows of the item tower are more than any machine has; by then there are a network, the clicks and the user tower.
        long before = Device.Info.LiveBytes;
        TrainingOptions options = Small() with { SelfBatchSize = 2_000_000_000, IdDimension = 4096 };
        Assert.Throws<DeviceOutOfMemoryException>(() => new Trainer(Device, Data(), options).Dispose());
        Assert.That(Device.Info.LiveBytes, Is.EqualTo(before));
        Assert.Throws<DeviceOutOfMemoryException>(() => new Trainer(Device, Data(), options, Folder("run")).Dispose());
        Assert.That(Device.Info.LiveBytes, Is.EqualTo(before));
        Train(Device, Small(), Folder("run"));
    }

    [Test]
    public void AStepThatCannotBeMadeFreesWhatItTook([Values] Correction correction)
    {
        // Without a catalogue it fails late: at log q, or else at the features that are most related.
        TrainingOptions options = Small() with { Correction = correction, Augmentation = Transforms.Correlated };
        using var network = new Network(Device, Catalogue.FromDataset(Data()), options, StepOptimizers.SparseRule(options));
        long before = Device.Info.LiveBytes;
        Assert.That(() => new TrainingStep(network, null!, options, 4).Dispose(), Throws.InstanceOf<NullReferenceException>());
        Assert.That(Device.Info.LiveBytes, Is.EqualTo(before));
    }

    [Test]
    public void DisposingTwiceIsDisposingOnce()
    {
        TrainingOptions options = Small() with { Augmentation = Transforms.Correlated };
        var trainer = new Trainer(Device, Data(), options, Folder("run"));
        trainer.Dispose();
        Assert.That(Device.Info.LiveBytes, Is.Zero);
        Assert.That(trainer.Dispose, Throws.Nothing);
        Assert.Throws<ObjectDisposedException>(() => trainer.Run());
    }
}
