using System.Globalization;
using Spectre.Console;
using Twintail.Data;
using Twintail.Evaluation;

namespace Twintail.Cli.Reports;

/// <summary>Tables for the terminal, and the same cells for the HTML reports.</summary>
internal static class Tables
{
    /// <summary>A table in the house's style.</summary>
    public static Table Create(string? title, params string[] columns)
    {
        Table table = new Table().Border(TableBorder.Rounded);
        if (title != null)
        {
            table.Title(Markup.Escape(title));
        }

        for (int i = 0; i < columns.Length; i++)
        {
            var column = new TableColumn(Markup.Escape(columns[i]));
            table.AddColumn(i == 0 ? column.LeftAligned() : column.RightAligned());
        }

        return table;
    }

    /// <summary>A row of plain texts.</summary>
    public static Table Row(this Table table, params string[] cells) => table.AddRow(cells.Select(Markup.Escape).ToArray());

    /// <summary>Metrics by slice of popularity, with intervals.</summary>
    public static Table Evaluation(string title, EvaluationReport report, bool signed = false)
    {
        string[] metrics = report.Slices[0].Metrics.Select(m => m.Key).ToArray();
        Table table = Create(title, ["slice", "users", "clicks", "items", .. metrics]);
        foreach (SliceReport slice in report.Slices)
        {
            string[] counts = [slice.Name, Count(slice.Users), Count(slice.Pairs), Count(slice.Items)];
            table.Row([.. counts, .. metrics.Select(m => WithInterval(slice[m], signed))]);
        }

        return table;
    }

    /// <summary>The cells of a report for HTML: value, and interval in small print.</summary>
    public static IEnumerable<IReadOnlyList<string>> EvaluationRows(EvaluationReport report) =>
        report.Slices.Select(slice => (IReadOnlyList<string>)
            [slice.Name, Count(slice.Users), Count(slice.Pairs), Count(slice.Items), .. slice.Metrics.Select(m => Html(m.Value))]);

    /// <summary>The header of those.</summary>
    public static string[] EvaluationHeader(EvaluationReport report) =>
        ["slice", "users", "clicks", "items", .. report.Slices[0].Metrics.Select(m => m.Key)];

    /// <summary>What became of the columns.</summary>
    public static Table Columns(IReadOnlyList<ColumnReport> columns)
    {
        Table table = Create(null, "feature", "of", "kind", "values", "missing");
        foreach (ColumnReport column in columns)
        {
            table.Row(column.Name, column.Table, Kind(column.Kind), Count(column.Values), Percent(column.Missing));
        }

        return table;
    }

    public static string Kind(ColumnKind kind) => kind == ColumnKind.MultiValued ? "multi-valued" : kind.ToString().ToLowerInvariant();

    public static string Count(long number) => number.ToString("N0", CultureInfo.InvariantCulture);

    public static string Percent(double share) => (100 * share).ToString("0.#", CultureInfo.InvariantCulture) + " %";

    public static string Number(double value, bool signed = false) =>
        double.IsNaN(value) ? "–" : value.ToString(signed ? "+.0000;-.0000; .0000" : ".0000", CultureInfo.InvariantCulture);

    /// <summary>Value and interval, the interval in small print.</summary>
    public static string Html(Estimate value) =>
        double.IsNaN(value.Low) ? Number(value.Value) : $"{Number(value.Value)}\t[{Number(value.Low)}, {Number(value.High)}]";

    public static string WithInterval(Estimate value, bool signed = false) => double.IsNaN(value.Low)
        ? Number(value.Value, signed)
        : $"{Number(value.Value, signed)} [{Number(value.Low, signed)}, {Number(value.High, signed)}]";
}
