using Twintail.Cli.Commands;
using Twintail.Cli.Settings;
using Twintail.Data;
using Twintail.Evaluation;
using Twintail.Training;

namespace Twintail.Cli.Reports;

/// <summary>report.html of a training: curves, recall by slice, data and settings.</summary>
internal static class TrainingReport
{
    /// <summary>Writes the report.</summary>
    /// <returns>Its path.</returns>
    public static string Write(
        string folder, TrainingOptions options, LoadedDataset loaded, TrainingResult result, IReadOnlyList<EvaluationReport> evaluations)
    {
        Metrics metrics = Metrics.Read(folder);
        var report = new HtmlReport("Twintail: training");
        report.Text(
            FormattableString.Invariant($"{result.Epochs} epochs, {result.Steps} steps; the model is that of epoch {result.BestEpoch}. ")
            + DataNotes.Clicks(loaded.Report) + $"; {Tables.Count(loaded.Report.Items)} items, {Tables.Count(loaded.Report.Users)} users.",
            lead: true);
        AddCurves(report, metrics, options);
        foreach (IGrouping<string, EvaluationReport> group in evaluations.GroupBy(Ranking))
        {
            AddEvaluations(report, group.Key, [.. group]);
        }

        report.Section("Data").Text($"Split: {loaded.Report.Split}.");
        foreach (string note in loaded.Report.Notes())
        {
            report.Text(note + ".");
        }

        report.Table(
            ["feature", "of", "kind", "values", "missing"],
            loaded.Report.Columns.Select(c => (IReadOnlyList<string>)
                [c.Name, c.Table, Tables.Kind(c.Kind), Tables.Count(c.Values), Tables.Percent(c.Missing)]));
        report.Section("Settings").Table(
            ["setting", "value"],
            TrainingSettings.FromOptions(options).Select(s => (IReadOnlyList<string>)[s.Key, s.Value]));
        string path = Path.Combine(folder, "report.html");
        report.Write(path);
        return path;
    }

    /// <summary>Recall of several rankings of the same clicks by slice: a plot and a table for each.</summary>
    public static void AddEvaluations(HtmlReport report, string heading, IReadOnlyList<EvaluationReport> evaluations)
    {
        string metric = $"recall@{evaluations[0].Options.Ks[0]}";
        report.Section(heading);
        report.Picture(RecallBars(heading, evaluations), $"{metric} by slice of popularity");
        foreach (EvaluationReport evaluation in evaluations)
        {
            report.Text(evaluation.Name + ":").Table(Tables.EvaluationHeader(evaluation), Tables.EvaluationRows(evaluation));
        }
    }

    /// <summary>A bar plot of recall at the first k by slice.</summary>
    public static byte[] RecallBars(string title, IReadOnlyList<EvaluationReport> evaluations)
    {
        string metric = $"recall@{evaluations[0].Options.Ks[0]}";
        string[] slices = evaluations[0].Slices.Select(s => s.Name).ToArray();
        return Plots.Bars(title, metric, slices, evaluations.Select(e => new BarSeries(
            e.Name,
            slices.Select(s => e.Find(s)?[metric] ?? new Estimate(double.NaN, double.NaN, double.NaN)).ToArray(),
            e.Name is "popularity" or "random")).ToArray());
    }

    private static string Ranking(EvaluationReport report) =>
        $"{string.Join(" + ", report.Options.Splits)}: {Tables.Count(report.CandidateCount)} {report.Options.Candidates.ToString().ToLowerInvariant()} items ranked";

    private static void AddCurves(HtmlReport report, Metrics metrics, TrainingOptions options)
    {
        if (metrics.Epochs < 2)
        {
            return;
        }

        report.Section("Course of the training");
        List<Curve> losses = [metrics.Loss("main_loss", "main loss")];
        if (options.IsSelfSupervised)
        {
            losses.Add(metrics.Loss("self_loss", "self-supervised loss"));
        }

        report.Picture(Plots.Lines("Loss, mean of each epoch", "epoch", "loss", losses), "losses over the epochs");
        Curve[] recalls = new[] { "all", "head", "mid", "tail" }.Select(slice => metrics.Valid(slice, "recall@20")).OfType<Curve>().ToArray();
        if (recalls.Length > 0)
        {
            report.Picture(Plots.Lines("Recall@20 on the validation clicks", "epoch", "recall@20", recalls), "recall over the epochs");
        }
    }
}
