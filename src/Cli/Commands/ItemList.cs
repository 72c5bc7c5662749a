using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Cli.Reports;
using Twintail.Cli.Terminal;
using Twintail.Features;
using Twintail.Retrieval;

namespace Twintail.Cli.Commands;

/// <summary>Shows items with what the catalogue tells of them.</summary>
internal static class ItemList
{
    private const int MostCharacters = 40;

    /// <summary>Checks the names of the columns to be shown.</summary>
    /// <returns>Their columns; all where none are named.</returns>
    public static FeatureColumn[] Columns(FeatureTable items, string? names)
    {
        if (names == null)
        {
            return [.. items.Columns];
        }

        return names.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries)
            .Select(name => items.Columns.FirstOrDefault(c => c.Name == name) ?? throw new CommandException(
                $"the model's items have no feature '{name}'{Suggestions.Clause(name, items.Columns.Select(c => c.Name))}"))
            .ToArray();
    }

    /// <summary>A table of results.</summary>
    public static Table Table(string title, Catalogue catalogue, Recommendation result, FeatureColumn[] columns)
    {
        Table table = Tables.Create(title, "#", "item", "score", "clicks");
        foreach (FeatureColumn column in columns)
        {
            table.AddColumn(new TableColumn(Markup.Escape(column.Name)));
        }

        for (int i = 0; i < result.Items.Count; i++)
        {
            ScoredItem item = result.Items[i];
            table.Row([
                $"{i + 1}", item.Id, Tables.Number(item.Score), Tables.Count(catalogue.Clicks[item.Row]),
                .. columns.Select(c => Short(string.Join("|", Values(c, item.Row))))]);
        }

        return table;
    }

    /// <summary>What is known of an item, in one line.</summary>
    public static string Describe(FeatureColumn[] columns, int row) =>
        string.Join("; ", columns.Select(c => (c.Name, Text: string.Join("|", Values(c, row)))).Where(c => c.Text.Length > 0).Select(c => $"{c.Name}: {c.Text}"));

    /// <summary>The results for programs.</summary>
    public static JsonArray Json(Catalogue catalogue, Recommendation result, FeatureColumn[] columns) =>
        new([.. result.Items.Select((item, i) => new JsonObject
        {
            ["rank"] = i + 1,
            ["item_id"] = item.Id,
            ["score"] = item.Score,
            ["clicks"] = catalogue.Clicks[item.Row],
            ["features"] = new JsonObject(columns.Select(c => KeyValuePair.Create(c.Name, Value(c, item.Row)))),
        })]);

    private static string[] Values(FeatureColumn column, int row) =>
        column.ValuesOf(row).ToArray().Where(id => id != 0).Select(id => column.Vocabulary[id]).ToArray();

    private static JsonNode? Value(FeatureColumn column, int row)
    {
        string[] values = Values(column, row);
        return column.IsMultiValued ? new JsonArray([.. values.Select(v => JsonValue.Create(v))]) : values.FirstOrDefault();
    }

    private static string Short(string text) => text.Length <= MostCharacters ? text : text[..(MostCharacters - 1)] + "…";
}
