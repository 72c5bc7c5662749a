using ScottPlot;
using ScottPlot.TickGenerators;
using Twintail.Bench.Running;

namespace Twintail.Bench.Growth;

/// <summary>Draws a <see cref="GrowthSeries"/> with logarithmic axes.</summary>
internal static class GrowthPlot
{
    private static readonly (string Contender, string Label, string Color)[] Curves =
    [
        ("torchsharp-naive", "TorchSharp, plain", "#b0413e"),
        ("torchsharp-best", "TorchSharp, best by hand", "#e0a030"),
        ("twintail", "Twintail", "#1f6fb2"),
    ];

    /// <summary>Whether there was anything to draw.</summary>
    public static bool Save(GrowthSeries series, IReadOnlyList<TimingRecord> records, string path)
    {
        var plot = new Plot();
        foreach (var (contender, label, color) in Curves)
        {
            Draw(plot, Points(series, records, contender, all => all.Min(record => record.Median)), label, color, isFloor: false);
        }

        Draw(
            plot,
            Points(series, records, "twintail", all => all.Min(record => record.Work / record.Peak * 1000)),
            "floor: least work / measured peak",
            "#555555",
            isFloor: true);
        if (plot.PlottableList.Count == 0)
        {
            return false;
        }

        plot.Title(series.Title);
        plot.XLabel(series.XLabel);
        plot.YLabel("ms (median)");
        plot.Axes.Bottom.TickGenerator = new NumericManual(
            [.. series.Points.Select(point => Math.Log10(point.X))], [.. series.Points.Select(point => Short(point.X))]);
        plot.Axes.AutoScale();
        plot.Axes.Left.TickGenerator = LogTicks(plot.Axes.GetLimits().YRange);
        plot.Grid.MinorLineColor = Colors.Black.WithOpacity(0.06);
        plot.Grid.MinorLineWidth = 1;
        plot.ShowLegend(Edge.Right);
        plot.SavePng(path, 1050, 560);
        return true;
    }

    private static (double X, double Y)[] Points(
        GrowthSeries series, IReadOnlyList<TimingRecord> records, string contender, Func<IEnumerable<TimingRecord>, double?> value) =>
    [
        .. from point in series.Points
           let found = records.Where(r => r.Contender == contender && r.Threads == point.Threads && Id(r) == point.Id).ToList()
           where found.Count > 0 && value(found) is > 0
           select (Math.Log10(point.X), Math.Log10(value(found)!.Value)),
    ];

    // Short axes get labels between the powers of ten, so that a value can be read on a curve that lies within one of them.
    private static NumericManual LogTicks(CoordinateRange range)
    {
        int[] labelled = range.Length < 2 ? [1, 2, 5] : range.Length < 3 ? [1, 3] : [1];
        var ticks = new NumericManual();
        for (int power = (int)Math.Floor(range.Min); power <= (int)Math.Ceiling(range.Max); power++)
        {
            for (int digit = 1; digit < 10; digit++)
            {
                double value = digit * Math.Pow(10, power);
                if (labelled.Contains(digit))
                {
                    ticks.AddMajor(Math.Log10(value), Short(value));
                }
                else
                {
                    ticks.AddMinor(Math.Log10(value));
                }
            }
        }

        return ticks;
    }

    private static CaseId Id(TimingRecord record) => new(record.Case, record.N, record.M, record.D);

    private static void Draw(Plot plot, (double X, double Y)[] points, string label, string color, bool isFloor)
    {
        if (points.Length == 0)
        {
            return;
        }

        var line = plot.Add.Scatter(points.Select(p => p.X).ToArray(), points.Select(p => p.Y).ToArray());
        line.LegendText = label;
        line.Color = Color.FromHex(color);
        line.LineWidth = 2;
        line.LinePattern = isFloor ? LinePattern.Dashed : LinePattern.Solid;
        line.MarkerSize = isFloor ? 0 : 7;
    }

    private static string Short(double value) => value switch
    {
        >= 1e6 => $"{value / 1e6:0.#}M",
        >= 1024 when value % 1024 == 0 => $"{value / 1024:0}k",
        >= 1e4 => $"{value / 1e3:0.#}k",
        _ => $"{value:0.###}",
    };
}
