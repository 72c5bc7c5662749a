using System.Globalization;

namespace Twintail.Bench.Running;

/// <summary>The summary as a table for people.</summary>
internal static class Report
{
    public static void Print(IReadOnlyList<SummaryRow> rows)
    {
        Console.WriteLine();
        Console.WriteLine(
            $"{"case",-34}{"n",7}{"m",9}{"d",5} {"isa",-9}{"dtype",-9}{"ms",9}{"of peak",9}{"x naive",9}{"(default)",10}{"x best",8}{"(default)",10}{"MiB",7}{"naive MiB",11}");
        foreach (SummaryRow row in rows)
        {
            Console.WriteLine(
                $"{Cut(row.Case, 33),-34}{row.N,7}{row.M,9}{row.D,5} {row.Isa,-9}{row.Dtype,-9}{Number(row.MsMedian, "F2"),9}{Number(row.FractionOfPeak, "P0"),9}"
                + $"{Number(row.TimesTorchsharpNaive, "F1"),9}{Number(row.TimesTorchsharpNaiveDefault, "F1"),10}"
                + $"{Number(row.TimesTorchsharpBest, "F1"),8}{Number(row.TimesTorchsharpBestDefault, "F1"),10}"
                + $"{Number(row.ExtraMib, "F1"),7}{Number(row.TorchsharpExtraMib, "F0"),11}");
        }
    }

    /// <summary>The lines that stand beside peers, as a table for the documentation.</summary>
    public static void WriteMarkdown(string path, string machine, IReadOnlyList<SummaryRow> rows)
    {
        var lines = new List<string>
        {
            machine,
            "",
            "| case | n, m, d | path | ms | of peak | × plain (default settings) | × best (default settings) | MiB | plain / best MiB |",
            "|---|---|---|---|---|---|---|---|---|",
        };
        foreach (SummaryRow row in rows.Where(row => row.TimesTorchsharpNaive != null || row.TimesTorchsharpBest != null))
        {
            lines.Add(
                $"| {row.Case.Replace('_', ' ')} | {row.N}, {row.M}, {row.D} | {row.Isa}{(row.Dtype == "bfloat16" ? " bfloat16" : "")} | {Number(row.MsMedian, "G4")} "
                + $"| {Number(100 * row.FractionOfPeak, "F0")} % | {Number(row.TimesTorchsharpNaive, "F1")} ({Number(row.TimesTorchsharpNaiveDefault, "F1")}) "
                + $"| {Number(row.TimesTorchsharpBest, "F1")} ({Number(row.TimesTorchsharpBestDefault, "F1")}) "
                + $"| {Number(row.ExtraMib, "F0")} | {Number(row.TorchsharpExtraMib, "F0")} / {Number(row.TorchsharpBestExtraMib, "F0")} |");
        }

        File.WriteAllLines(path, lines);
    }

    private static string Number(double? value, string format) => value?.ToString(format, CultureInfo.InvariantCulture) ?? "-";

    private static string Cut(string text, int length) => text.Length <= length ? text : text[..(length - 1)] + "…";
}
