using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Cli.Reports;
using Twintail.Cli.Terminal;
using Twintail.Data;

namespace Twintail.Cli.Commands;

/// <summary>Reads data and says what was found.</summary>
internal static class DataNotes
{
    public static LoadedDataset Read(Screen screen, DatasetOptions options)
    {
        LoadedDataset loaded = DatasetReader.Read(options, Signals.Token);
        DatasetReport report = loaded.Report;
        screen.Note($"data: {Clicks(report)}; {Tables.Count(report.Items)} items, {Tables.Count(report.Users)} users ({report.Split}; "
            + FormattableString.Invariant($"{report.Seconds:F1} s)"));
        foreach (string note in report.Notes())
        {
            screen.Warn(note);
        }

        if (!screen.IsQuiet && report.Columns.Count > 0)
        {
            screen.Notes.Write(Tables.Columns(report.Columns));
        }

        return loaded;
    }

    public static string Clicks(DatasetReport report) =>
        "clicks: " + string.Join(", ", report.Clicks.OrderByDescending(c => c.Value).Select(c => $"{Tables.Count(c.Value)} {c.Key}"));

    public static JsonObject Json(DatasetReport report) => new()
    {
        ["items"] = report.Items,
        ["users"] = report.Users,
        ["clicks"] = new JsonObject(report.Clicks.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => KeyValuePair.Create<string, JsonNode?>(c.Key, c.Value))),
        ["split"] = report.Split,
        ["absent_items"] = report.AbsentItems,
        ["absent_item_clicks"] = report.AbsentItemClicks,
        ["absent_users"] = report.AbsentUsers,
        ["duplicate_items"] = report.DuplicateItems,
        ["duplicate_users"] = report.DuplicateUsers,
        ["columns"] = new JsonArray([.. report.Columns.Select(c => new JsonObject
        {
            ["table"] = c.Table,
            ["name"] = c.Name,
            ["kind"] = Tables.Kind(c.Kind),
            ["values"] = c.Values,
            ["missing"] = c.Missing,
        })]),
    };
}
