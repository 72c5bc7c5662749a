using System.CommandLine;
using System.Text.Json.Nodes;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Features;
using Twintail.Model;
using Twintail.Retrieval;

namespace Twintail.Cli.Commands;

/// <summary>twintail similar: the items nearest to an item.</summary>
internal sealed class SimilarCommand
{
    private readonly Option<string> _model = new("--model") { Description = "Folder of the model.", HelpName = "DIR", Required = true };
    private readonly Option<string> _item = new("--item") { Description = "The item.", HelpName = "ID", Required = true };
    private readonly Option<int> _k = new("-k") { Description = "How many items.", HelpName = "N", DefaultValueFactory = _ => 20 };
    private readonly Option<string?> _show = new("--show") { Description = "The features to show [all].", HelpName = "A,B" };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("similar", "Shows the items whose vectors are nearest to an item's.") { _model, _item, _k, _show };
        _settings = new SettingOptions(command, [DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        string folder = parsed.GetRequiredValue(_model), item = parsed.GetRequiredValue(_item);
        OutputFolder.RequireModel(folder);
        using Twintail.Device device = DeviceSettings.Open(_settings.Given(parsed), screen);
        using TwoTowerModel model = TwoTowerModel.Load(device, folder);
        FeatureColumn[] columns = ItemList.Columns(model.Catalogue.Items, parsed.GetValue(_show));
        int row = model.Catalogue.Items.RowOf(item);
        if (row < 0)
        {
            throw new CommandException($"the model knows no item '{item}'");
        }

        Recommendation result = model.Similar(item, parsed.GetValue(_k));
        screen.Show($"item {item}: {ItemList.Describe(columns, row)}");
        screen.Show(ItemList.Table($"nearest to {item}", model.Catalogue, result, columns));
        screen.ShowJson(() => new JsonObject { ["item"] = item, ["items"] = ItemList.Json(model.Catalogue, result, columns) });
        return 0;
    }
}
