using System.Text.Json.Nodes;
using Twintail.Tests.Data;

namespace Twintail.Tests.Cli;

/// <summary>Trainings that are killed, stopped or run out of disk go on, bit for bit as if nothing had happened.</summary>
[TestFixture]
internal sealed class CliInterruptionTests
{
    // Some two seconds: enough for a signal to come in between on a busy machine.
    private const string Epochs = "50";

    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void KilledTrainingGoesOnBitForBit()
    {
        string[] options = ["--epochs", Epochs, "--checkpoint-every", "7"];
        CliProcess.Succeed([.. TinyTraining.Command(_folder["whole"]), .. options]);
        using (CliProcess process = CliProcess.Start([.. TinyTraining.Command(_folder["killed"]), .. options]))
        {
            Assert.That(process.WaitFor(() => Steps("killed") >= 14), "a checkpoint while it runs");
            process.Signal("KILL");
            Assert.That(process.Wait().ExitCode, Is.EqualTo(128 + 9));
        }

        // Killed once more on the way, maybe while a checkpoint is written.
        using (CliProcess process = CliProcess.Start("train", "--resume", "--out", _folder["killed"]))
        {
            int before = Steps("killed");
            Assert.That(process.WaitFor(() => Steps("killed") > before), "goes on");
            process.Signal("KILL");
            process.Wait();
        }

        CliResult result = CliProcess.Succeed("train", "--resume", "--out", _folder["killed"]);
        Assert.That(result.Error, Does.Contain("resumed at step"));
        CheckEqual("whole", "killed");
    }

    [TestCase("INT", 130)]
    [TestCase("TERM", 143)]
    [TestCase("HUP", 129)]
    public void StoppedTrainingLeavesACheckpointAndGoesOn(string signal, int exitCode)
    {
        string[] options = ["--epochs", Epochs];
        CliProcess.Succeed([.. TinyTraining.Command(_folder["whole"]), .. options]);
        using (CliProcess process = CliProcess.Start([.. TinyTraining.Command(_folder["stopped"]), .. options]))
        {
            Assert.That(process.WaitFor(() => File.Exists(_folder["stopped/checkpoint.safetensors"])), "a checkpoint while it runs");
            process.Signal(signal);
            CliResult stopped = process.Wait();
            Assert.That(stopped.ExitCode, Is.EqualTo(exitCode), stopped.Error);
            Assert.That(stopped.Error, Does.Contain($"continue with: twintail train --resume --out {_folder["stopped"]}"));
        }

        // What is there can be used, and continued.
        CliProcess.Succeed("recommend", "--model", _folder["stopped"], "--user", "u00001");
        CliProcess.Succeed("train", "--resume", "--out", _folder["stopped"]);
        CheckEqual("whole", "stopped");
    }

    [Test]
    public void LostTerminalLeavesACheckpoint()
    {
        if (!File.Exists("/usr/bin/script"))
        {
            Assert.Ignore("there is no script (util-linux), which makes terminals");
        }

        string output = _folder["out.json"], exitCode = _folder["exit-code"];
        using CliProcess terminal = CliProcess.StartOnTerminal(
            output, exitCode, [.. TinyTraining.Command(_folder["m"]), "--epochs", "100000", "--json"]);
        Assert.That(terminal.WaitFor(() => File.Exists(_folder["m/checkpoint.safetensors"])), "a checkpoint while it runs");
        terminal.Signal("KILL");
        const int MostTenths = 600;
        for (int tenths = 0; tenths < MostTenths && !(File.Exists(exitCode) && File.ReadAllText(exitCode).EndsWith('\n')); tenths++)
        {
            Thread.Sleep(100);
        }

        // The progress bar and the last words had nowhere to go.
        Assert.That(File.ReadAllText(exitCode).Trim(), Is.EqualTo("129"));
        Assert.That((string?)JsonNode.Parse(File.ReadAllText(output))!["end"], Is.EqualTo("canceled"));
        string resumed = CliProcess.Succeed("train", "--resume", "--out", _folder["m"], "--epochs", $"{EpochsOf("m")}").Error;
        Assert.That(resumed, Does.Contain("resumed at step"));
    }

    [Test]
    public void SecondHangupIsNotImpatience()
    {
        // One comes from the shell, one from the kernel as the shell ends. Nobody writes to the pipe: the program stops by itself after a while.
        string pipe = MakePipe();
        using CliProcess process = CliProcess.Start([.. TinyTraining.Command(_folder["m"]), "--interactions", pipe]);
        Assert.That(process.WaitFor(() => process.ErrorSoFar.Contains("device:", StringComparison.Ordinal)), "started");
        Thread.Sleep(200);
        process.Signal("HUP");
        Thread.Sleep(200);
        process.Signal("HUP");
        CliResult stopped = process.Wait();
        Assert.That(CliProcess.Failed(stopped), Does.EndWith("stopped"));
        Assert.That(stopped.ExitCode, Is.EqualTo(129));
    }

    [Test]
    public void IgnoredHangupIsIgnored()
    {
        // As nohup starts it.
        string[] command = [.. TinyTraining.Command(_folder["m"]), "--epochs", Epochs];
        using CliProcess process = CliProcess.StartAfter("trap '' HUP", command);
        Assert.That(process.WaitFor(() => File.Exists(_folder["m/checkpoint.safetensors"])), "a checkpoint while it runs");
        process.Signal("HUP");
        CliResult result = process.Wait();
        Assert.That(result.ExitCode, Is.Zero, result.Error);
    }

    [TestCase("train", false)]
    [TestCase("train", true)]
    [TestCase("evaluate", false)]
    public void StoppedWhileReadingLeavesNothing(string command, bool impatient)
    {
        // A pipe that nobody writes to: the program waits in the middle of reading.
        string pipe = MakePipe();
        string[] arguments = command == "train" ? TinyTraining.Command(_folder["m"]) : ["evaluate", "--model", TinyTraining.Model, "--device", "cpu"];
        using CliProcess process = CliProcess.Start([.. arguments, "--interactions", pipe]);
        Assert.That(process.WaitFor(() => process.ErrorSoFar.Contains("device:", StringComparison.Ordinal)), "started");
        Thread.Sleep(200);
        if (impatient)
        {
            // Signals of one kind that wait together count as one, so the second is sent until it is felt.
            process.SignalUntilExit("INT");
            Assert.That(process.Wait().ExitCode, Is.EqualTo(130));
        }
        else
        {
            process.Signal("INT");
            CliResult stopped = process.Wait();
            Assert.That(CliProcess.Failed(stopped), Does.EndWith("stopped"));
            Assert.That(stopped.ExitCode, Is.EqualTo(130));
        }

        Assert.That(Directory.Exists(_folder["m"]), Is.False);
    }

    [Test]
    public void ResumeRefusesOtherDataAndOtherOptions()
    {
        CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--epochs", "1"]);
        byte[] before = File.ReadAllBytes(_folder["m/checkpoint.safetensors"]);
        Assert.That(CliProcess.Fail("train", "--resume", "--out", _folder["m"], "--temperature", "0.2"), Does.Contain("temperature"));
        string clicks = _folder.Write("c.csv", File.ReadAllText(TinyTraining.Interactions) + "u00001,i00009,1800000000,train\n");
        Assert.That(CliProcess.Fail("train", "--resume", "--out", _folder["m"], "--interactions", clicks), Does.Contain("data"));
        Assert.That(CliProcess.Fail("train", "--resume", "--out", _folder["none"]), Does.Contain("no checkpoint to resume from"));
        Assert.That(File.ReadAllBytes(_folder["m/checkpoint.safetensors"]), Is.EqualTo(before));
        CliProcess.Succeed("train", "--resume", "--out", _folder["m"], "--epochs", "2");
    }

    [Test]
    public void ResumeRefusesFewerEpochsThanAreDone()
    {
        CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--epochs", "4"]);
        string[] files = ["checkpoint.safetensors", "config.json", "run.json"];
        byte[][] Contents() => Array.ConvertAll(files, file => File.ReadAllBytes(_folder[$"m/{file}"]));
        byte[][] before = Contents();

        CliResult fewer = CliProcess.Run("train", "--resume", "--out", _folder["m"], "--epochs", "3");
        Assert.That(CliProcess.Failed(fewer), Does.Contain("epochs: expected at least 4, as many as the training that is resumed has begun, got 3"));
        Assert.That(fewer.ExitCode, Is.EqualTo(2), "as every setting that cannot be");
        Assert.That(fewer.Error, Does.Not.Contain("resumed at"));
        Assert.That(Contents(), Is.EqualTo(before));

        // As many: nothing to do is no failure.
        Assert.That(CliProcess.Succeed("train", "--resume", "--out", _folder["m"]).Error, Does.Contain("nothing is left to train"));
    }

    [Test]
    public void FullDiskLeavesTheOldCheckpoint()
    {
        CliProcess.Succeed([.. TinyTraining.Command(_folder["whole"]), "--epochs", "4"]);
        using SmallDisk? disk = SmallDisk.Mount(_folder["disk"], "4m");
        if (disk == null)
        {
            Assert.Ignore("a file system cannot be mounted here (not root, or not allowed); FileSizeLimitLeavesTheOldCheckpoint tests the same");
        }

        string model = Path.Combine(disk.Path, "m");
        CliProcess.Succeed([.. TinyTraining.Command(model), "--epochs", "2"]);
        byte[] before = File.ReadAllBytes(Path.Combine(model, "checkpoint.safetensors"));
        disk.Fill();
        string error = CliProcess.Fail("train", "--resume", "--out", model, "--epochs", "4");
        Assert.That(error, Does.Contain("No space left on device").Or.Contain("cannot be written to"));
        Assert.That(File.ReadAllBytes(Path.Combine(model, "checkpoint.safetensors")), Is.EqualTo(before));
        disk.Empty();
        CliProcess.Succeed("train", "--resume", "--out", model, "--epochs", "4");
        Assert.That(File.ReadAllBytes(Path.Combine(model, "weights.safetensors")), Is.EqualTo(File.ReadAllBytes(_folder["whole/weights.safetensors"])));
    }

    [Test]
    public void DiskThatFillsUpDuringTheTraining()
    {
        using SmallDisk? disk = SmallDisk.Mount(_folder["disk"], "4m");
        if (disk == null)
        {
            Assert.Ignore("a file system cannot be mounted here (not root, or not allowed); FileSizeLimitLeavesTheOldCheckpoint tests the same");
        }

        string model = Path.Combine(disk.Path, "m");
        using CliProcess process = CliProcess.Start([.. TinyTraining.Command(model), "--epochs", "2000", "--checkpoint-every", "5"]);
        string checkpoint = Path.Combine(model, "checkpoint.safetensors");
        Assert.That(process.WaitFor(() => File.Exists(checkpoint)), "a checkpoint while it runs");

        // Again and again: a checkpoint that was whole just before the disk was full frees the one that it replaces.
        process.WaitFor(() =>
        {
            disk.Fill();
            return false;
        });
        string error = CliProcess.Failed(process.Wait());
        Assert.That(error, Does.Contain("No space left on device").And.Contain($"the last checkpoint is whole, continue with: twintail train --resume --out {model}"));
        disk.Empty();
        using CliProcess resumed = CliProcess.Start("train", "--resume", "--out", model);
        int before = Steps("disk/m");
        Assert.That(resumed.WaitFor(() => Steps("disk/m") > before), "goes on");
        resumed.Signal("KILL");
        resumed.Wait();
    }

    [Test]
    public void FileSizeLimitLeavesTheOldCheckpoint()
    {
        CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--epochs", "2"]);
        byte[] before = File.ReadAllBytes(_folder["m/checkpoint.safetensors"]);
        // No file may grow beyond 16 KiB; without the trap the kernel would end the program by a signal. (W^X maps a large file.)
        const string Limit = "trap '' XFSZ; export DOTNET_EnableWriteXorExecute=0; ulimit -f 16";
        using CliProcess process = CliProcess.StartAfter(Limit, "train", "--resume", "--out", _folder["m"], "--epochs", "4");
        string error = CliProcess.Failed(process.Wait());
        Assert.That(error, Does.Contain("the last checkpoint is whole, continue with"));
        Assert.That(File.ReadAllBytes(_folder["m/checkpoint.safetensors"]), Is.EqualTo(before));
        CliProcess.Succeed("train", "--resume", "--out", _folder["m"], "--epochs", "4");
        CliProcess.Succeed([.. TinyTraining.Command(_folder["whole"]), "--epochs", "4"]);
        CheckEqual("whole", "m");
    }

    private void CheckEqual(string whole, string interrupted)
    {
        Assert.That(
            File.ReadAllBytes(_folder[$"{interrupted}/weights.safetensors"]),
            Is.EqualTo(File.ReadAllBytes(_folder[$"{whole}/weights.safetensors"])),
            "weights");
        Assert.That(Metrics(interrupted), Is.EqualTo(Metrics(whole)), "metrics");
    }

    // All that does not depend on the clock.
    private string[] Metrics(string name) =>
    [
        .. File.ReadLines(_folder[name + "/metrics.jsonl"]).Select(line =>
        {
            JsonObject json = JsonNode.Parse(line)!.AsObject();
            json.Remove("seconds");
            json.Remove("clicks_per_second");
            (json["valid"] as JsonObject)?.Remove("seconds");
            return json.ToJsonString();
        }),
    ];

    private string MakePipe()
    {
        string pipe = _folder["clicks.csv"];
        using var make = System.Diagnostics.Process.Start("mkfifo", [pipe]);
        make.WaitForExit();
        return pipe;
    }

    // So many as a checkpoint has begun, after which little is left to do.
    private int EpochsOf(string name)
    {
        int epochs = File.ReadLines(_folder[name + "/metrics.jsonl"]).Count(line => line.Contains("\"epoch\"", StringComparison.Ordinal));
        return epochs + 1;
    }

    // The number of steps in a checkpoint's header; 0 while there is none.
    private int Steps(string name)
    {
        string path = _folder[name + "/checkpoint.safetensors"];
        if (!File.Exists(path))
        {
            return 0;
        }

        using FileStream file = File.OpenRead(path);
        var length = new byte[8];
        file.ReadExactly(length);
        var header = new byte[BitConverter.ToInt64(length)];
        file.ReadExactly(header);
        string state = (string)JsonNode.Parse(header)!["__metadata__"]!["state"]!;
        return (int)JsonNode.Parse(state)!["step"]!;
    }
}
