using System.Text.Json.Nodes;
using Twintail.Tests.Data;

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

    private void TrainOnCuda(string place, string[] options)
    {
        string[] arguments = [.. TinyTraining.Command(_folder[place]), .. options];
        arguments[Array.IndexOf(arguments, "--device") + 1] = "cuda";
        using CliProcess process = CliProcess.StartAfter($"export TWINTAIL_CUDA_PLUGIN='{_plugin}'", arguments);
        CliResult result = process.Wait();
        Assert.That(result.ExitCode, Is.Zero, result.Error);
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
