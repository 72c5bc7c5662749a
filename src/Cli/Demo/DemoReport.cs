using Twintail.Cli.Commands;
using Twintail.Cli.Reports;
using Twintail.Data;
using Twintail.Evaluation;

namespace Twintail.Cli.Demo;

/// <summary>The demo's plot and HTML report.</summary>
internal sealed class DemoReport(
    string folder, int k, SyntheticOptions catalogue, LoadedDataset data, IReadOnlyList<DemoOutcome> models, IReadOnlyList<DemoOutcome> all)
{
    /// <summary>Plain in-batch softmax.</summary>
    public const string Plain = "plain softmax";

    /// <summary>The same with the self-supervised loss.</summary>
    public const string PlainSsl = "plain + SSL";

    /// <summary>In-batch softmax with logQ correction.</summary>
    public const string LogQ = "+ logQ";

    /// <summary>The same with the self-supervised loss.</summary>
    public const string LogQSsl = "+ logQ + SSL";

    /// <summary>What is compared.</summary>
    public static readonly string[] Columns = ["all warm", "head", "mid", "tail", "cold", "cold in all"];

    /// <summary>How the table is to be read; theory, not a result.</summary>
    public const string Reading =
        "Without correction the in-batch softmax learns log p(item | user) - log p(item): it ranks by affinity with popularity divided out, which "
        + "favours the tail and gives the head away. With logQ it learns log p(item | user), the order in which items are clicked. So each loss is "
        + "to be held against the same loss with self-supervision (SSL), which works on the vectors of items that few or none have clicked.";

    private static readonly (string Now, string Before)[] Pairs = [(PlainSsl, Plain), (LogQ, Plain), (LogQSsl, LogQ), (LogQSsl, Plain)];

    /// <summary>What each part changes, paired over the same users, so much narrower than the difference of two intervals.</summary>
    public IReadOnlyList<DemoOutcome> Differences { get; } = Array.ConvertAll(Pairs, pair =>
    {
        DemoOutcome now = models.Single(m => m.Name == pair.Now), before = models.Single(m => m.Name == pair.Before);
        return new DemoOutcome(
            $"{now.Name} against {before.Name}", now.Warm.Against(before.Warm), now.Cold.Against(before.Cold), now.All.Against(before.All));
    });

    /// <summary>Recall of an outcome in each of <see cref="Columns"/>.</summary>
    public static Estimate[] Values(DemoOutcome outcome, int k)
    {
        Estimate Of(EvaluationReport report, string slice) => report.Find(slice)?.Recall(k) ?? new Estimate(double.NaN, double.NaN, double.NaN);
        return
        [
            Of(outcome.Warm, "all"), Of(outcome.Warm, "head"), Of(outcome.Warm, "mid"), Of(outcome.Warm, "tail"),
            Of(outcome.Cold, "all"), Of(outcome.All, "cold"),
        ];
    }

    /// <summary>Writes both.</summary>
    /// <returns>Their full paths.</returns>
    public (string Plot, string Html) Write(TimeSpan elapsed)
    {
        byte[] bars = Plots.Bars(
            $"Recall@{k} on the test clicks", $"recall@{k}", Columns, all.Select(o => new BarSeries(o.Name, Values(o, k), !models.Contains(o))).ToArray());
        string plot = Path.GetFullPath(Path.Combine(folder, "recall.png"));
        File.WriteAllBytes(plot, bars);

        var html = new HtmlReport("Twintail: self-supervision on a long tail");
        html.Text(
            $"A synthetic catalogue of {Tables.Count(catalogue.Items)} items (seed {catalogue.Seed}), of which "
            + $"{Tables.Percent(catalogue.ColdShare)} have no training click, and {Tables.Count(catalogue.Users)} users with tastes; "
            + $"{DataNotes.Clicks(data.Report)}. Tags and brands are symptoms of an item's theme, and most of them are rare. The models differ in "
            + $"nothing but the loss (linear towers over shared embeddings, id dropout). Everything here was measured in this run "
            + FormattableString.Invariant($"({elapsed.TotalSeconds:F0} s)."),
            lead: true);
        html.Section("Recall by popularity of the item").Picture(bars, $"recall@{k} by slice of popularity for each model");
        html.Table(["model", .. Columns], all.Select(Row));
        html.Text(
            "head: the most clicked items that hold half of the training clicks; mid: the next 30 %; tail: the last 20 %. For these and for "
            + "\"all warm\" the items with training clicks are ranked. cold: items without a training click, ranked among themselves; cold in all: "
            + "the same clicks with every item in the ranking. In brackets: 95 % bootstrap intervals over users.");
        html.Text(Reading);
        AddDifferences(html);
        AddFrontier(html);
        AddCurves(html);
        string path = Path.GetFullPath(Path.Combine(folder, "report.html"));
        html.Write(path);
        return (plot, path);
    }

    private IReadOnlyList<string> Row(DemoOutcome outcome) => [outcome.Name, .. Values(outcome, k).Select(Tables.Html)];

    private void AddDifferences(HtmlReport html) => html.Section("What each part changes")
        .Text("Differences user by user. An interval without zero is printed in bold: the choice of users does not explain it.")
        .Table(["", .. Columns], Differences.Select(d => (IReadOnlyList<string>)[d.Name, .. Values(d, k).Select(Signed)]));

    private void AddFrontier(HtmlReport html)
    {
        Curve[] curves = models.Select(o => o.Frontier).OfType<Curve>().ToArray();
        html.Section("The tail against everything").Picture(
            Plots.Lines("", $"recall@{k} of all warm clicks", $"recall@{k} of the tail's clicks", curves), $"recall@{k} of the tail over that of all warm clicks");
        html.Text(
            "How much of the list popular items get can be chosen when items are ranked, too (--popularity-penalty of twintail evaluate). "
            + "Each model is ranked with popularity in the score at one end of its curve, as after training with logQ, and with popularity "
            + "divided out at the other, as after training without: of two curves the one that lies further up and to the right finds more of the tail "
            + "at the same recall overall.");
    }

    private static string Signed(Estimate value)
    {
        bool clear = value.Low > 0 || value.High < 0;
        return $"{(clear ? "*" : "")}{Tables.Number(value.Value, true)}\t[{Tables.Number(value.Low, true)}, {Tables.Number(value.High, true)}]";
    }

    private void AddCurves(HtmlReport html)
    {
        string[] places = ["plain", "plain-ssl", "logq", "logq-ssl"];
        Metrics[] metrics = Array.ConvertAll(places, place => Metrics.Read(Path.Combine(folder, place)));
        foreach (string slice in new[] { "all", "tail" })
        {
            Curve[] curves = metrics.Select((m, i) => m.Valid(slice, "recall@20") is { } curve ? curve with { Name = models[i].Name } : null)
                .OfType<Curve>().ToArray();
            if (curves.Length > 0)
            {
                string what = slice == "all" ? "the validation clicks" : "the validation clicks of the tail";
                html.Section($"Recall@20 on {what}, by epoch").Picture(Plots.Lines("", "epoch", "recall@20", curves), $"recall@20 over the epochs on {what}");
            }
        }
    }
}
