using System.Globalization;
using ScottPlot;
using ScottPlot.TickGenerators;
using Twintail.Evaluation;

namespace Twintail.Cli.Reports;

/// <summary>One curve: a name and its points.</summary>
internal sealed record Curve(string Name, double[] X, double[] Y, bool Thin = false);

/// <summary>One colour of a bar plot: a value with interval for each group, NaN where there is none.</summary>
internal sealed record BarSeries(string Name, IReadOnlyList<Estimate> Values, bool IsBaseline = false);

/// <summary>The plots of the reports, as PNG files in memory.</summary>
internal static class Plots
{
    private const int Width = 900;
    private const int Height = 480;
    private const int BarWidth = 34; // holds a value of three digits

    // Okabe and Ito's colours, which people with colour blindness can tell apart; baselines are grey.
    private static readonly Color[] Palette = Array.ConvertAll(["#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"], Color.FromHex);

    private static readonly Color[] Baselines = Array.ConvertAll(["#9A9A9A", "#C8C8C8"], Color.FromHex);

    // The first of these that is installed; else what the system takes for its default, often one with serifs.
    private static readonly string? Font = new[] { "Inter", "DejaVu Sans", "Liberation Sans", "Noto Sans", "Arial", "Helvetica" }
        .FirstOrDefault(name => SkiaSharp.SKFontManager.Default.FontFamilies.Contains(name));

    /// <summary>Whether text can be drawn: some font must be installed.</summary>
    public static bool HasFont => SkiaSharp.SKTypeface.Default is { } face && face.GetGlyph('a') != 0;

    /// <summary>Curves over a common x axis.</summary>
    public static byte[] Lines(string title, string xLabel, string yLabel, IReadOnlyList<Curve> curves)
    {
        Plot plot = Frame(title, xLabel, yLabel);
        for (int i = 0; i < curves.Count; i++)
        {
            Curve curve = curves[i];
            var line = plot.Add.Scatter(curve.X, curve.Y);
            line.Color = Palette[i % Palette.Length];
            line.LineWidth = curve.Thin ? 1 : 2;
            line.MarkerSize = curve.Thin || curve.X.Length > 60 ? 0 : 7;
            line.LegendText = curve.Name;
        }

        plot.Axes.Bottom.TickGenerator = new NumericAutomatic { IntegerTicksOnly = curves.All(curve => Array.TrueForAll(curve.X, double.IsInteger)) };
        Legend(plot, curves.Count > 1);
        return Png(plot, Width, Height);
    }

    /// <summary>Bars in groups, with intervals and their values on top.</summary>
    public static byte[] Bars(string title, string yLabel, IReadOnlyList<string> groups, IReadOnlyList<BarSeries> series)
    {
        Plot plot = Frame(title, "", yLabel);
        double step = 0.84 / series.Count;
        double top = series.SelectMany(s => s.Values).Select(Top).Where(double.IsFinite).DefaultIfEmpty(1).Max();
        int colour = 0, grey = 0;
        for (int s = 0; s < series.Count; s++)
        {
            Color color = series[s].IsBaseline ? Baselines[grey++ % Baselines.Length] : Palette[colour++ % Palette.Length];
            double shift = (s - ((series.Count - 1) / 2.0)) * step;
            int[] shown = Enumerable.Range(0, groups.Count).Where(g => double.IsFinite(series[s].Values[g].Value)).ToArray();
            Estimate[] values = Array.ConvertAll(shown, g => series[s].Values[g]);
            double[] places = Array.ConvertAll(shown, g => g + shift);
            var bars = plot.Add.Bars(values.Select((value, i) => new Bar
            {
                Position = places[i],
                Value = value.Value,
                Size = step * 0.92,
                FillColor = color,
                LineColor = color,
            }).ToArray());
            bars.LegendText = series[s].Name;
            AddIntervals(plot, places, values);
            AddValues(plot, places, values, 0.008 * top);
        }

        plot.Axes.Bottom.TickGenerator = new NumericManual(Enumerable.Range(0, groups.Count).Select(g => (double)g).ToArray(), groups.ToArray());
        plot.Axes.Bottom.MajorTickStyle.Length = 0;
        plot.Axes.Bottom.TickLabelStyle.FontSize = 14;
        plot.Axes.SetLimits(-0.5, groups.Count - 0.5, 0, top > 0 ? top * 1.08 : 1);
        plot.Grid.XAxisStyle.IsVisible = false;
        Legend(plot, series.Count > 1);
        int width = 160 + (groups.Count * series.Count * BarWidth);
        return Png(plot, Math.Clamp(width, 560, 1600), Height);
    }

    /// <summary>A square matrix with its values written in the cells.</summary>
    public static byte[] HeatMap(string title, IReadOnlyList<string> names, double[,] values)
    {
        const int Cell = 64;
        int count = names.Count;
        Plot plot = Frame(title, "", "");
        var map = plot.Add.Heatmap(values);
        map.Colormap = new ScottPlot.Colormaps.Blues().Reversed();
        double largest = values.Cast<double>().Where(double.IsFinite).DefaultIfEmpty(1).Max();
        map.ManualRange = new ScottPlot.Range(0, largest > 0 ? largest : 1);
        ScottPlot.Panels.ColorBar bar = plot.Add.ColorBar(map);
        bar.Axis.TickLabelStyle.FontName = Font ?? bar.Axis.TickLabelStyle.FontName;
        for (int row = 0; row < count && count <= 24; row++)
        {
            for (int column = 0; column < count; column++)
            {
                var text = plot.Add.Text(Short(values[row, column]), column, count - 1 - row);
                text.Alignment = Alignment.MiddleCenter;
                text.LabelFontSize = 12;
                text.LabelFontName = Font ?? text.LabelFontName;
                text.LabelFontColor = values[row, column] > 0.6 * largest ? Colors.White : Colors.Black;
            }
        }

        double[] places = Enumerable.Range(0, count).Select(i => (double)i).ToArray();
        plot.Axes.Bottom.TickGenerator = new NumericManual(places, names.ToArray());
        plot.Axes.Left.TickGenerator = new NumericManual(places, names.Reverse().ToArray());
        plot.Axes.Bottom.TickLabelStyle.Rotation = -45;
        plot.Axes.Bottom.TickLabelStyle.Alignment = Alignment.UpperRight;
        int longest = names.Max(name => name.Length);
        plot.Axes.Bottom.MinimumSize = 30 + (7 * longest);
        plot.Axes.Left.MinimumSize = 30 + (9 * longest);
        plot.HideGrid();
        plot.Axes.SetLimits(-0.5, count - 0.5, -0.5, count - 0.5);
        plot.Axes.Left.FrameLineStyle.Width = 0;
        plot.Axes.Bottom.FrameLineStyle.Width = 0;
        return Png(plot, 200 + (9 * longest) + (count * Cell), 120 + (7 * longest) + (count * Cell));
    }

    private static double Top(Estimate value) => double.IsNaN(value.High) ? value.Value : value.High;

    private static void AddIntervals(Plot plot, double[] places, Estimate[] values)
    {
        int[] with = Enumerable.Range(0, values.Length).Where(i => double.IsFinite(values[i].Low)).ToArray();
        if (with.Length == 0)
        {
            return;
        }

        var intervals = plot.Add.ErrorBar(
            Array.ConvertAll(with, i => places[i]), Array.ConvertAll(with, i => values[i].Value), Array.ConvertAll(with, _ => 0.0));
        intervals.XErrorPositive = intervals.XErrorNegative = null;
        intervals.YErrorPositive = Array.ConvertAll(with, i => values[i].High - values[i].Value);
        intervals.YErrorNegative = Array.ConvertAll(with, i => values[i].Value - values[i].Low);
        intervals.Color = Colors.Black.WithAlpha(0.6);
        intervals.LineWidth = 1.2f;
    }

    private static void AddValues(Plot plot, double[] places, Estimate[] values, double gap)
    {
        for (int i = 0; i < values.Length; i++)
        {
            var text = plot.Add.Text(Short(values[i].Value), places[i], Top(values[i]) + gap);
            text.Alignment = Alignment.LowerCenter;
            text.LabelFontSize = 11;
            text.LabelFontName = Font ?? text.LabelFontName;
        }
    }

    private static Plot Frame(string title, string xLabel, string yLabel)
    {
        var plot = new Plot();
        plot.Title(title, 18);
        plot.XLabel(xLabel, 14);
        plot.YLabel(yLabel, 14);
        plot.Axes.Left.MinimumSize = 64;
        plot.FigureBackground.Color = Colors.White;
        plot.Grid.MajorLineColor = Colors.Black.WithAlpha(0.08);
        plot.Axes.Right.FrameLineStyle.Width = 0;
        plot.Axes.Top.FrameLineStyle.Width = 0;
        return plot;
    }

    private static void Legend(Plot plot, bool show)
    {
        if (!show)
        {
            return;
        }

        plot.Legend.Orientation = Orientation.Horizontal;
        plot.Legend.FontSize = 14;
        plot.Legend.ShadowColor = Colors.Transparent;
        plot.Legend.OutlineColor = Colors.Transparent;
        plot.ShowLegend(Edge.Bottom);
    }

    private static string Short(double value) =>
        double.IsNaN(value) ? "" : value.ToString(Math.Abs(value) < 0.9995 ? ".000" : "0.00", CultureInfo.InvariantCulture);

    private static byte[] Png(Plot plot, int width, int height)
    {
        // Last, when all texts are there.
        if (Font != null)
        {
            plot.Font.Set(Font);
            plot.Legend.FontName = Font;
        }

        return plot.GetImage(width, height).GetImageBytes(ImageFormat.Png);
    }
}
