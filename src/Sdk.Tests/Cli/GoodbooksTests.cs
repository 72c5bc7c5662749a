using System.Text.Json.Nodes;
using Twintail.Tests.Data;

namespace Twintail.Tests.Cli;

/// <summary>A short training on real data beats popularity on warm items and chance on cold ones by a wide margin.</summary>
[TestFixture]
internal sealed class GoodbooksTests
{
    private const string Epochs = "4";

    [Test]
    public void AMinuteOfTrainingBeatsPopularityAndChance()
    {
        string data = Find() ?? "";
        if (data.Length == 0)
        {
            Assert.Ignore("the data set goodbooks_small is not here: neither TWINTAIL_DATA nor a folder shared/data beside the repository has it");
        }

        using var folder = new DataFolder();
        string model = folder["model"], clicks = Path.Combine(data, "split.csv.gz");
        CliProcess.Succeed("train", "--interactions", clicks, "--items", Path.Combine(data, "items.csv.gz"), "--out", model, "--epochs", Epochs, "--device", "cpu");
        (double warm, double popularity) = Recalls(model, "test", "warm", baseline: 1);
        (double cold, double chance) = Recalls(model, "test_cold", "cold", baseline: 2);
        TestContext.Out.WriteLine($"recall@20: warm {warm:F4} (popularity {popularity:F4}), cold {cold:F4} (chance {chance:F4})");
        Assert.That(warm, Is.GreaterThan(1.5 * popularity));
        Assert.That(cold, Is.GreaterThan(4 * chance));
    }

    private static (double Model, double Baseline) Recalls(string model, string split, string candidates, int baseline)
    {
        JsonArray evaluations = CliProcess.Succeed(
            "evaluate", "--model", model, "--split", split, "--candidates", candidates, "--baselines", "--bootstrap", "0", "--device", "cpu", "--json")
            .Json["evaluations"]!.AsArray();
        double Recall(int i) => (double)evaluations[i]!["slices"]!["all"]!["recall@20"]!["value"]!;
        return (Recall(0), Recall(baseline));
    }

    // TWINTAIL_DATA, else shared/data beside one of the folders above this program.
    private static string? Find()
    {
        var places = new List<string?> { Environment.GetEnvironmentVariable("TWINTAIL_DATA") };
        for (DirectoryInfo? up = new(AppContext.BaseDirectory); up != null; up = up.Parent)
        {
            places.Add(Path.Combine(up.FullName, "shared", "data"));
        }

        return places.OfType<string>().Select(place => Path.Combine(place, "goodbooks_small"))
            .FirstOrDefault(place => File.Exists(Path.Combine(place, "split.csv.gz")));
    }
}
