using Twintail.Features;
using Twintail.Storage;
using Twintail.Tests.Model;
using Twintail.Training;

namespace Twintail.Tests.Training;

internal sealed class ResumeTests : TrainerFixture
{
    [Test]
    public void AResumedTrainingIsTheUninterruptedOneBitForBit()
    {
        // Every checkpoint is kept as a kill at that moment would leave the folder; each of them is then resumed.
        string whole = Folder("whole");
        var keeper = new CheckpointKeeper(whole, Folder("kept"));
        using (var trainer = new Trainer(Device, Data(), Small(), whole))
        {
            trainer.Folder!.Files = keeper;
            trainer.Run();
        }

        Assert.That(keeper.Kept, Has.Count.GreaterThan(6));
        foreach (string kept in keeper.Kept)
        {
            // What a killed process may leave besides: metrics after the checkpoint, half a temporary file, a stale lock.
            File.AppendAllText(Path.Combine(kept, "metrics.jsonl"), "{\"kind\": \"steps\", \"ep");
            File.WriteAllText(Path.Combine(kept, "checkpoint.safetensors.tmp"), "half");
            File.WriteAllText(Path.Combine(kept, "training.lock"), "");
            using (Trainer trainer = Trainer.Resume(Device, Data(), kept))
            {
                trainer.Run();
            }

            AssertSame(kept, whole, kept);
        }
    }

    [Test]
    public void AKillBetweenWeightsAndCheckpointChangesNothing()
    {
        string whole = Folder("whole"), killed = Folder("killed");
        Train(Device, Small(), whole);
        using (var trainer = new Trainer(Device, Data(), Small(), killed))
        {
            // The weights of the second epoch are written, its checkpoint is not.
            trainer.Folder!.Files = new StopBeforeCheckpoint(trainer.StepsPerEpoch, Small().CheckpointEvery);
            Assert.Throws<IOException>(() => trainer.Run());
        }

        using (Trainer trainer = Trainer.Resume(Device, Data(), killed))
        {
            trainer.Run();
        }

        AssertSame(killed, whole, "resumed");
    }

    [Test]
    public void CancellingLeavesACheckpointAndAModel()
    {
        string whole = Folder("whole"), stopped = Folder("stopped");
        Train(Device, Small(), whole);
        using var cancel = new CancellationTokenSource();
        using (var trainer = new Trainer(Device, Data(), Small(), stopped))
        {
            TrainingResult result = trainer.Run(new AfterEpoch(1, cancel.Cancel), cancel.Token);
            Assert.That(result.End, Is.EqualTo(TrainingEnd.Canceled));
            Assert.That(result.Steps, Is.EqualTo(trainer.StepsPerEpoch));
        }

        Assert.That(Twintail.Model.TwoTowerModel.Exists(stopped));
        Assert.That(Trainer.CanResume(stopped));
        using (Trainer trainer = Trainer.Resume(Device, Data(), stopped))
        {
            Assert.That(trainer.Run().End, Is.EqualTo(TrainingEnd.Finished));
        }

        AssertSame(stopped, whole, "resumed");
    }

    [Test]
    public void CancelledBeforeTheFirstStepItStillResumes()
    {
        string whole = Folder("whole"), stopped = Folder("stopped");
        Train(Device, Small(), whole);
        using (var trainer = new Trainer(Device, Data(), Small(), stopped))
        {
            Assert.That(trainer.Run(null, new CancellationToken(canceled: true)).Steps, Is.Zero);
        }

        Assert.That(Twintail.Model.TwoTowerModel.Exists(stopped));
        using (Trainer trainer = Trainer.Resume(Device, Data(), stopped))
        {
            trainer.Run();
        }

        AssertSame(stopped, whole, "resumed");
    }

    [Test]
    public void MoreEpochsContinueAFinishedTraining()
    {
        string whole = Folder("whole"), longer = Folder("longer");
        TrainingOptions options = Small() with { Schedule = Schedule.Constant };
        Train(Device, options, whole);
        Train(Device, options with { Epochs = 1 }, longer);

        using (Trainer trainer = Trainer.Resume(Device, Data(), longer, options))
        {
            trainer.Run();
        }

        AssertSame(longer, whole, "resumed with more epochs");
    }

    [Test]
    public void FewerEpochsThanDoneAreRefusedAndChangeNothing()
    {
        string directory = Folder("run");
        TrainingOptions options = Small();
        Train(Device, options, directory);
        string config = Path.Combine(directory, "config.json");
        byte[] before = File.ReadAllBytes(config);

        BadArgumentException error = Refused("epochs", () => Trainer.Resume(Device, Data(), directory, options with { Epochs = 2 }));
        Assert.That(error.Message, Does.Contain("at least 3").And.Contain("got 2"));
        Assert.That(File.ReadAllBytes(config), Is.EqualTo(before));

        // As many as done: nothing is left, and the model is that of the best epoch.
        using Trainer trainer = Trainer.Resume(Device, Data(), directory, options);
        Assert.That(trainer.StepsDone, Is.EqualTo(trainer.Steps));
        Assert.That(trainer.Run().Steps, Is.EqualTo(trainer.Steps));
    }

    [Test]
    public void RefusesOtherOptionsOtherDataAndADamagedCheckpoint()
    {
        string directory = Folder("run");
        Train(Device, Small() with { Epochs = 1 }, directory);

        Refused("dimension", () => Trainer.Resume(Device, Data(), directory, Small() with { Dimension = 9 }));
        Refused("dataset", () => Trainer.Resume(Device, TinyData.Make(seed: 2), directory));
        string checkpoint = Path.Combine(directory, "checkpoint.safetensors");
        byte[] bytes = File.ReadAllBytes(checkpoint);
        bytes[^9] ^= 1;
        File.WriteAllBytes(checkpoint, bytes);
        Assert.Throws<CorruptFileException>(() => Trainer.Resume(Device, Data(), directory));
        File.Delete(checkpoint);
        Assert.Throws<FileNotFoundException>(() => Trainer.Resume(Device, Data(), directory));
        Assert.That(Trainer.CanResume(directory), Is.False);
    }

    [Test]
    public void AFolderWithATrainingIsNotOverwrittenByAccident()
    {
        string directory = Folder("run");
        Train(Device, Small() with { Epochs = 1 }, directory);
        Dictionary<string, byte[]> before = Outcome(directory);

        Refused("directory", () => new Trainer(Device, Data(), Small(), directory).Dispose());
        Assert.That(Outcome(directory)["weights/item_tower.0.weight"], Is.EqualTo(before["weights/item_tower.0.weight"]));
        using var trainer = new Trainer(Device, Data(), Small(), directory, overwrite: true);
        Assert.That(Trainer.CanResume(directory), Is.False);
    }

    [Test]
    public void TwoTrainingsCannotShareAFolder()
    {
        using var trainer = new Trainer(Device, Data(), Small(), Folder("run"));
        Assert.Throws<IOException>(() => new Trainer(Device, Data(), Small(), Folder("run"), overwrite: true).Dispose());
    }

    [Test]
    public void AFailedCheckpointLeavesTheOneBefore([Values] FailAt at, [Values(0, 5)] int goodFiles)
    {
        string whole = Folder("whole"), full = Folder("full");
        Train(Device, Small(), whole);
        using (var trainer = new Trainer(Device, Data(), Small(), full))
        {
            trainer.Folder!.Files = new FailingFile(at, 50, goodFiles);
            Assert.Throws<IOException>(() => trainer.Run());
        }

        Assert.That(Directory.GetFiles(full, "*.tmp"), Is.Empty);
        Assert.That(Trainer.CanResume(full), Is.EqualTo(goodFiles > 0));
        if (goodFiles > 0)
        {
            using (Trainer trainer = Trainer.Resume(Device, Data(), full))
            {
                trainer.Run();
            }

            AssertSame(full, whole, "resumed");
        }
    }

    /// <summary>Copies the folder after every checkpoint, as if the process were killed then.</summary>
    private sealed class CheckpointKeeper(string directory, string to) : AtomicFile
    {
        public List<string> Kept { get; } = [];

        protected override void Replace(string from, string target)
        {
            base.Replace(from, target);
            if (!target.Contains("checkpoint"))
            {
                return;
            }

            string copy = Path.Combine(to, $"{Kept.Count}");
            Directory.CreateDirectory(copy);
            foreach (string file in Directory.GetFiles(directory).Where(x => !x.EndsWith(".lock")))
            {
                using var source = new FileStream(file, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
                using var copied = new FileStream(Path.Combine(copy, Path.GetFileName(file)), FileMode.Create);
                source.CopyTo(copied);
            }

            Kept.Add(copy);
        }
    }

    /// <summary>Fails at the checkpoint that ends the second epoch, after its weights.</summary>
    private sealed class StopBeforeCheckpoint(long stepsPerEpoch, int checkpointEvery) : AtomicFile
    {
        private long _checkpoints;

        protected override Stream Open(string path)
        {
            bool isCheckpoint = path.Contains("checkpoint");
            long perEpoch = ((stepsPerEpoch - 1) / checkpointEvery) + 1;
            return isCheckpoint && _checkpoints++ == (2 * perEpoch) - 1 ? throw new IOException("killed") : base.Open(path);
        }
    }

    private sealed class AfterEpoch(int epoch, Action act) : IProgress<TrainingProgress>
    {
        public void Report(TrainingProgress value)
        {
            if (value.Valid != null && value.Epoch == epoch)
            {
                act();
            }
        }
    }
}
