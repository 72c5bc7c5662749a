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
    /// Relative difference of the mean losses from the CPU backend's. Both round float32 sums in orders of their own, and the optimisers
    /// carry that on; after 103 steps it was 5e-8.
    /// </summary>
    private const double LossAgreement = 1e-6;

    /// <summary>
    /// Relative difference of a tensor (weights, tables, states of the optimisers) from the CPU backend's, as 2-norms. Not weight by weight:
    /// Adam and row-wise Adagrad divide by the size of the gradients seen so far, so where those nearly cancel, a difference of their last bits
    /// moves a weight as far as a gradient of full size would. Such weights are few, and do not hide in a norm what all others do. After 103
    /// steps the tensor furthest off was so by 3e-6, no more than the CPU backend's instruction sets differ for other seeds; with a
    /// learning rate wrong by 1e-4 of it, by 4e-2.
    /// </summary>
    private const double WeightAgreement = 2e-5;

    private DataFolder _folder = null!;
    private string _plugin = null!;

    [SetUp]
    public void MakeFolder()
    {
        _plugin = CudaProcess.Plugin();
        _folder = new DataFolder();
    }

    [TearDown]
    public void RemoveFolder() => _folder?.Dispose();

    /// <summary>The second run's threads and blocks go in another order, which the CPU run of the kernels takes from its seed.</summary>
    [Test]
    public void AgreesWithTheCpuAndRepeatsBitForBit()
    {
        (string, string)[] small = [("--batch-size", "16"), ("--self-batch-size", "16")];
        string[] options = ["--epochs", "1", "--learn-temperature"];
        CliProcess.Succeed([.. With(TinyTraining.Command(_folder["cpu"]), small), .. options]);
        RunOnCuda([.. With(TinyTraining.Command(_folder["first"]), [.. small, ("--device", "cuda")]), .. options]);
        RunOnCuda([.. With(TinyTraining.Command(_folder["second"]), [.. small, ("--device", "cuda")]), .. options], "SIMT_SEED=3");

        JsonObject cpu = Epochs("cpu").Single(), cuda = Epochs("first").Single();
        Assert.That((int)cpu["step"]!, Is.GreaterThanOrEqualTo(100), "steps of the trainings");
        Assert.That((int)cuda["step"]!, Is.EqualTo((int)cpu["step"]!));
        foreach (string loss in new[] { "main_loss", "self_loss" })
        {
            double value = (double)cpu[loss]!;
            Assert.That((double)cuda[loss]!, Is.EqualTo(value).Within(LossAgreement * value), loss);
        }

        AssertClose("first", "cpu");
        AssertSame("second", "first");
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

    /// <summary>A temperature that is learnt stays on the device: no step waits for the host.</summary>
    [Test]
    public void AGraphHoldsALearntTemperature()
    {
        string[] options = ["--epochs", "1", "--learn-temperature"];
        TrainOnCuda("plain", [.. options, "--device-graph", "false"]);
        JsonNode graphs = TrainOnCuda("graphs", options)["graphs"]!;
        Assert.That((int)graphs["launched"]!, Is.GreaterThan(10));
        Assert.That((int)graphs["cut"]!, Is.Zero);
        AssertSame("graphs", "plain");
    }

    private JsonObject TrainOnCuda(string place, string[] options) =>
        RunOnCuda([.. With(TinyTraining.Command(_folder[place]), ("--device", "cuda")), .. options]);

    private JsonObject RunOnCuda(string[] arguments, string schedule = "SIMT_SEED=0")
    {
        using CliProcess process = CliProcess.StartAfter($"export TWINTAIL_CUDA_PLUGIN='{_plugin}' {schedule}", [.. arguments, "--json"]);
        CliResult result = process.Wait();
        Assert.That(result.ExitCode, Is.Zero, result.Error);
        return result.Json;
    }

    /// <summary>The arguments with other values of options that are among them.</summary>
    private static string[] With(string[] arguments, params (string Option, string Value)[] values)
    {
        foreach ((string option, string value) in values)
        {
            arguments[Array.IndexOf(arguments, option) + 1] = value;
        }

        return arguments;
    }

    /// <summary>The state after the last step: weights, tables and what the optimisers keep.</summary>
    private void AssertClose(string place, string other)
    {
        using var found = new SafetensorsReader(_folder[$"{place}/checkpoint.safetensors"]);
        using var expected = new SafetensorsReader(_folder[$"{other}/checkpoint.safetensors"]);
        Assert.That(found.Names, Is.EquivalentTo(expected.Names));
        Assert.That(expected.Names.Count(name => name.StartsWith("state.", StringComparison.Ordinal)), Is.GreaterThan(10), "states");
        foreach (string tensor in expected.Names)
        {
            float[] a = found.Read<float>(tensor), b = expected.Read<float>(tensor);
            double norm = Math.Sqrt(b.Sum(x => (double)x * x));
            double off = Math.Sqrt(a.Zip(b, (x, y) => Math.Pow((double)x - y, 2)).Sum());
            Assert.That(off, Is.LessThanOrEqualTo(WeightAgreement * norm), $"{tensor}, with norm {norm:G4}");
        }
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
}
