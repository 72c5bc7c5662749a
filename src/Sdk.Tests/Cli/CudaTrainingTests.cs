using System.Text.Json.Nodes;
using Twintail.Storage;
using Twintail.Tests.Data;
using Twintail.Tests.Ops;
using JsonObject = System.Text.Json.Nodes.JsonObject;

namespace Twintail.Tests.Cli;

/// <summary>
/// Whole trainings on the CUDA backend, from the program to the kernels: on the GPU where TWINTAIL_CUDA_PLUGIN names its backend,
/// else on the CPU run of the kernels (native/simt); skipped where that was not built.
/// </summary>
[TestFixture]
internal sealed class CudaTrainingTests
{
    /// <summary>
    /// Relative difference of an epoch's mean loss from the CPU backend's. Both round float32 sums in orders of their own, and Adam's
    /// steps carry that on; after 18 steps of a like training it was 5e-8.
    /// </summary>
    private const double Agreement = 1e-5;

    private DataFolder _folder = null!;
    private string _plugin = null!;

    [SetUp]
    public void MakeFolder()
    {
        _plugin = FindPlugin() ?? "";
        if (_plugin.Length == 0)
        {
            Assert.Ignore("the CUDA backend's CPU run (libtwintail_cuda_simt.so) was not built");
        }

        _folder = new DataFolder();
    }

    [TearDown]
    public void RemoveFolder() => _folder?.Dispose();

    [Test]
    public void AgreesWithTheCpuAndRepeatsBitForBit()
    {
        string[] options = ["--epochs", "3"];
        CliProcess.Succeed([.. TinyTraining.Command(_folder["cpu"]), .. options]);
        TrainOnCuda("first", options);
        TrainOnCuda("second", options);

        JsonObject[] cpu = Epochs("cpu"), cuda = Epochs("first");
        Assert.That(cuda, Has.Length.EqualTo(cpu.Length));
        Assert.That((int)cpu[^1]["step"]!, Is.GreaterThanOrEqualTo(60), "steps of both trainings");
        foreach ((JsonObject expected, JsonObject found) in cpu.Zip(cuda))
        {
            foreach (string loss in new[] { "main_loss", "self_loss" })
            {
                double value = (double)expected[loss]!;
                Assert.That((double)found[loss]!, Is.EqualTo(value).Within(Agreement * value), loss);
            }
        }

        Assert.That(
            File.ReadAllBytes(_folder["second/weights.safetensors"]), Is.EqualTo(File.ReadAllBytes(_folder["first/weights.safetensors"])));
    }

    /// <summary>
    /// Steps as CUDA graphs and call by call, with the smaller batch at the end of each epoch, checkpoints between steps, and a training
    /// that stops after an epoch with graphs and goes on without.
    /// </summary>
    [Test]
    public void GraphsDoNotChangeABit()
    {
        string[] options = ["--checkpoint-every", "7"];
        JsonNode? none = TrainOnCuda("plain", [.. options, "--epochs", "2", "--device-graph", "false"])["graphs"];
        JsonNode graphs = TrainOnCuda("graphs", [.. options, "--epochs", "2"])["graphs"]!;
        TrainOnCuda("resumed", [.. options, "--epochs", "1"]);
        RunOnCuda(["train", "--resume", "--out", _folder["resumed"], "--epochs", "2", "--device-graph", "false"]);

        int steps = (int)Epochs("graphs")[^1]["step"]!;
        Assert.That((int?)none?["launched"] ?? 0, Is.Zero);
        Assert.That((int)graphs["launched"]!, Is.EqualTo(steps - 1), "the first step grows the workspace");
        Assert.That((int)graphs["built"]!, Is.InRange(1, 6), "anew for the last batch of an epoch and after it, at most");
        Assert.That((int)graphs["nodes"]!, Is.GreaterThan(50));
        AssertSame("graphs", "plain");
        AssertSame("resumed", "plain");
    }

    /// <summary>A graph ends where τ goes over the host, and the training goes on all the same.</summary>
    [Test]
    public void AGraphIsCutWhereTheHostReads()
    {
        string[] options = ["--epochs", "1", "--learn-temperature"];
        TrainOnCuda("plain", [.. options, "--device-graph", "false"]);
        JsonNode graphs = TrainOnCuda("graphs", options)["graphs"]!;
        Assert.That((int)graphs["launched"]!, Is.GreaterThan(10));
        Assert.That((int)graphs["cut"]!, Is.EqualTo((int)graphs["launched"]!));
        AssertSame("graphs", "plain");
    }

    private JsonObject TrainOnCuda(string place, string[] options)
    {
        string[] arguments = [.. TinyTraining.Command(_folder[place]), .. options];
        arguments[Array.IndexOf(arguments, "--device") + 1] = "cuda";
        return RunOnCuda(arguments);
    }

    private JsonObject RunOnCuda(string[] arguments)
    {
        using CliProcess process = CliProcess.StartAfter($"export TWINTAIL_CUDA_PLUGIN='{_plugin}'", [.. arguments, "--json"]);
        CliResult result = process.Wait();
        Assert.That(result.ExitCode, Is.Zero, result.Error);
        return result.Json;
    }

    private void AssertSame(string place, string other)
    {
        foreach (string name in new[] { "weights.safetensors", "checkpoint.safetensors" })
        {
            using var found = new SafetensorsReader(_folder[$"{place}/{name}"]);
            using var expected = new SafetensorsReader(_folder[$"{other}/{name}"]);
            Assert.That(found.Names, Is.EquivalentTo(expected.Names));
            foreach (string tensor in expected.Names)
            {
                Assert.That(Bits.Of(found.Read<float>(tensor)), Is.EqualTo(Bits.Of(expected.Read<float>(tensor))), $"{name}: {tensor}");
            }
        }
    }

    private JsonObject[] Epochs(string place) =>
        [.. File.ReadLines(_folder[place + "/metrics.jsonl"]).Select(line => JsonNode.Parse(line)!.AsObject()).Where(line => (string?)line["kind"] == "epoch")];

    // TWINTAIL_CUDA_PLUGIN, which on a machine with a GPU names the backend for it; else what the build left beside this program.
    private static string? FindPlugin()
    {
        string? named = Environment.GetEnvironmentVariable("TWINTAIL_CUDA_PLUGIN");
        if (File.Exists(named))
        {
            return named;
        }

        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "build", "release", "lib", "libtwintail_cuda_simt.so");
            if (File.Exists(candidate))
            {
                return candidate;
            }
        }

        return null;
    }
}
