using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Ops;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Evaluation;

internal sealed class BootstrapTests : OpFixture
{
    private static EvaluationReport Report(double[] values, string name = "x", int samples = 2000, string prefix = "u")
    {
        var slice = new SliceValues("all", values.Length, 1) { Pairs = values.Length };
        values.CopyTo(slice.Values, 0);
        Array.Fill(slice.Has, true);
        string[] users = [.. Enumerable.Range(0, values.Length).Select(i => $"{prefix}{i}")];
        return Bootstrap.Report(name, new EvaluationOptions { BootstrapSamples = samples }, new UserValues(users, ["recall@20"], [slice]), "coverage@20");
    }

    [Test]
    public void IntervalsAreThoseOfTheStandardError()
    {
        // 900 users, 30 % ones: standard error sqrt(.3 * .7 / 900) = 0.01528, so that 95 % are within ±0.0299.
        double[] values = [.. Enumerable.Range(0, 900).Select(i => i % 10 < 3 ? 1.0 : 0)];

        Estimate recall = Report(values)["all"].Recall(20);

        Assert.That(recall.Value, Is.EqualTo(0.3).Within(1e-12));
        Assert.That(recall.Low, Is.EqualTo(0.3 - 0.0299).Within(0.004));
        Assert.That(recall.High, Is.EqualTo(0.3 + 0.0299).Within(0.004));
    }

    [Test]
    public void PairedDifferencesSeeWhatIntervalsSideBySideDoNot()
    {
        // b finds a little less than a for every user: the intervals overlap, the difference is certain.
        var draw = Draw.Fresh();
        double[] a = draw.Fill(300, () => draw.Uniform());
        double[] b = [.. a.Select(x => x - 0.01)];
        EvaluationReport reportA = Report(a, "a"), reportB = Report(b, "b");

        Estimate difference = reportA.Against(reportB)["all"].Recall(20);

        Assert.That(reportA["all"].Recall(20).Low, Is.LessThan(reportB["all"].Recall(20).High));
        Assert.That(difference.Value, Is.EqualTo(0.01).Within(1e-9));
        Assert.That(difference.Low, Is.EqualTo(0.01).Within(1e-9));
        Assert.That(reportB.Against(reportA)["all"].Recall(20).Value, Is.EqualTo(-0.01).Within(1e-9));
    }

    [Test]
    public void SameSeedSameIntervals()
    {
        double[] values = Draw.Fresh().Fill(100, () => Random.Shared.NextDouble());

        Estimate first = Report(values)["all"].Recall(20), again = Report(values)["all"].Recall(20);
        Assert.That(again.Low, Is.EqualTo(first.Low));
        Assert.That(again.High, Is.EqualTo(first.High).And.GreaterThan(first.Low));
        Assert.That(Report(values, samples: 0)["all"].Recall(20).Low, Is.NaN);
    }

    [Test]
    public void RefusesReportsThatCannotBeCompared()
    {
        EvaluationReport report = Report([1, 0]);
        Refused("other", () => report.Against(Report([1, 0], prefix: "other")));
        EvaluationReport otherSplit = Bootstrap.Report("x", new EvaluationOptions { Splits = ["valid"] }, report.Values, "coverage@20");
        Refused("other", () => report.Against(otherSplit));
    }

    [Test]
    public void AReportBecomesJson()
    {
        Dataset data = EvaluatorTests.Data(3, [(0, 0), (0, 1), (1, 2)], [(1, 0), (2, 1)], users: 3);
        EvaluationReport report = new Evaluator(Catalogue.FromDataset(data), data.Splits).EvaluatePopularity(Device);

        using var json = System.Text.Json.JsonDocument.Parse(report.ToJson());

        System.Text.Json.JsonElement all = json.RootElement.GetProperty("slices").GetProperty("all");
        Assert.That(all.GetProperty("recall@20").GetProperty("value").GetDouble(), Is.EqualTo(report["all"].Recall(20).Value));
        Assert.That(all.GetProperty("pairs").GetInt32(), Is.EqualTo(2));
        Refused("slice", () => _ = report["middle"]);
        Refused("metric", () => _ = report["all"]["recall@7"]);
    }
}
