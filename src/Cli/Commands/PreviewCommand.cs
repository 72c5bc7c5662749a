using System.CommandLine;
using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Augmentation;
using Twintail.Cli.Reports;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Training;

namespace Twintail.Cli.Commands;

/// <summary>twintail preview: what the two views of an item keep and drop.</summary>
internal sealed class PreviewCommand
{
    private const string Nothing = "default";

    private readonly Option<string> _item = new("--item") { Description = "The item.", HelpName = "ID", Required = true };
    private readonly Option<long> _step = new("--step") { Description = "Training step to draw for; each draws differently.", HelpName = "N" };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("preview", "Shows what the two views of an item keep and drop.") { _item, _step };
        _settings = new SettingOptions(
            command,
            [DataSettings.Items, DataSettings.ItemColumn, .. TrainingSettings.Views, .. DataSettings.Features, DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        SettingValues values = _settings.Given(parsed);
        TrainingOptions options = TrainingSettings.ToOptions(values);
        LoadedItems items = ItemFile.Read(values, "preview");
        string item = parsed.GetRequiredValue(_item);
        int row = items.Items.RowOf(item);
        if (row < 0)
        {
            throw new CommandException($"{values.Get("items")} has no item '{item}'");
        }

        using Twintail.Device device = DeviceSettings.Open(values, screen);
        ViewPreview preview = ViewPreview.Create(device, items.Items, row, options, parsed.GetValue(_step));
        screen.Show(Table(item, options, preview));
        screen.ShowJson(() => new JsonObject
        {
            ["item"] = item,
            ["augmentation"] = OptionText.Format(options.Augmentation),
            ["view1"] = Json(preview.View1),
            ["view2"] = Json(preview.View2),
        });
        return 0;
    }

    private static Table Table(string item, TrainingOptions options, ViewPreview preview)
    {
        Table table = Tables.Create($"item {item}, {OptionText.Format(options.Augmentation)}", "feature", "view 1", "view 2");
        table.Columns[1].LeftAligned();
        table.Columns[2].LeftAligned();
        for (int i = 0; i < preview.View1.Count; i++)
        {
            table.AddRow(Markup.Escape(preview.View1[i].Feature), Cell(preview.View1[i]), Cell(preview.View2[i]));
        }

        return table;
    }

    // {kept, kept} then what was dropped in brackets; without colours both can still be told apart.
    private static string Cell(FeaturePreview feature)
    {
        string kept = feature.Kept.Count == 0 ? $"[grey]{{{Nothing}}}[/]" : $"[green]{{{Markup.Escape(string.Join(", ", feature.Kept))}}}[/]";
        return feature.Dropped.Count == 0 ? kept : $"{kept} [red]without {Markup.Escape(string.Join(", ", feature.Dropped))}[/]";
    }

    private static JsonArray Json(IReadOnlyList<FeaturePreview> view) => new([.. view.Select(f => new JsonObject
    {
        ["feature"] = f.Feature,
        ["masked"] = f.IsMasked,
        ["kept"] = new JsonArray([.. f.Kept.Select(v => JsonValue.Create(v))]),
        ["dropped"] = new JsonArray([.. f.Dropped.Select(v => JsonValue.Create(v))]),
    })]);
}
