using System.CommandLine;
using System.Text.Json.Nodes;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Features;
using Twintail.Model;
using Twintail.Retrieval;

namespace Twintail.Cli.Commands;

/// <summary>twintail recommend: the best items for a user, or for a history of somebody unseen.</summary>
internal sealed class RecommendCommand
{
    private readonly Option<string> _model = new("--model") { Description = "Folder of the model.", HelpName = "DIR", Required = true };
    private readonly Option<string?> _user = new("--user") { Description = "A user of the training data.", HelpName = "ID" };
    private readonly Option<string?> _items = new("--items") { Description = "The history of an unseen user, oldest first.", HelpName = "ID,ID" };
    private readonly Option<int> _k = new("-k") { Description = "How many items.", HelpName = "N", DefaultValueFactory = _ => 20 };
    private readonly Option<float> _coldBonus = new("--cold-bonus") { Description = "Added to the score of items without a training click, -2 to 2; more shows more new items.", HelpName = "X" };
    private readonly Option<float> _penalty = new("--popularity-penalty") { Description = "Subtracted from the score for each natural logarithm of an item's training clicks, -1 to 1; more shows rarer items.", HelpName = "X" };
    private readonly Option<bool> _seen = new("--with-seen") { Description = "Do not leave out the items of the history." };
    private readonly Option<string?> _show = new("--show") { Description = "The features to show [all].", HelpName = "A,B" };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("recommend", "Shows the best items for a user or a history.") { _model, _user, _items, _k, _coldBonus, _penalty, _seen, _show };
        _settings = new SettingOptions(command, [DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        string? user = parsed.GetValue(_user), items = parsed.GetValue(_items);
        if (user == null == (items == null))
        {
            throw new CommandException("expected one of --user and --items (see twintail recommend --help)", Failures.Usage);
        }

        string folder = parsed.GetRequiredValue(_model);
        OutputFolder.RequireModel(folder);
        using Twintail.Device device = DeviceSettings.Open(_settings.Given(parsed), screen);
        using TwoTowerModel model = TwoTowerModel.Load(device, folder);
        Catalogue catalogue = model.Catalogue;
        FeatureColumn[] columns = ItemList.Columns(catalogue.Items, parsed.GetValue(_show));
        bool excludeHistory = !parsed.GetValue(_seen);
        int k = parsed.GetValue(_k);
        float bonus = parsed.GetValue(_coldBonus), penalty = parsed.GetValue(_penalty);
        string[] history;
        Recommendation result;
        if (user != null)
        {
            int row = Row(catalogue, user);
            history = catalogue.HistoryOf(row).ToArray().Select(item => catalogue.Items.Ids[item]).ToArray();
            result = model.Recommend(user, k, excludeHistory, bonus, penalty);
        }
        else
        {
            history = items!.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
            result = model.Recommend(history, k, excludeHistory, coldBonus: bonus, popularityPenalty: penalty);
            if (result.UnknownItems == history.Length)
            {
                throw new CommandException($"the model knows none of the items {items}");
            }
        }

        if (result.UnknownItems > 0)
        {
            screen.Warn($"{result.UnknownItems} of {history.Length} items of the history are unknown to the model and were ignored");
        }

        string who = user != null ? $"user {user}" : "this history";
        screen.Show(ItemList.Table($"for {who} ({history.Length} items seen)", catalogue, result, columns));
        screen.ShowJson(() => new JsonObject
        {
            ["user"] = user,
            ["history"] = new JsonArray([.. history.Select(id => JsonValue.Create(id))]),
            ["unknown_items"] = result.UnknownItems,
            ["items"] = ItemList.Json(catalogue, result, columns),
        });
        return 0;
    }

    private static int Row(Catalogue catalogue, string user)
    {
        int row = catalogue.Users.RowOf(user);
        return row >= 0 ? row : throw new CommandException($"the model knows no user '{user}'; for a new one give a history with --items");
    }
}
