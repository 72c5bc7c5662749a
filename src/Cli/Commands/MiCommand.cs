using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Augmentation;
using Twintail.Cli.Reports;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Training;

namespace Twintail.Cli.Commands;

/// <summary>twintail mi: how much the item features tell about each other.</summary>
internal sealed class MiCommand
{
    private readonly Option<string> _measure = new("--measure")
    {
        Description = "plain (nats), normalized (0 to 1) or adjusted (normalized, less what chance gives).",
        HelpName = "NAME",
        DefaultValueFactory = _ => "plain",
    };

    private readonly Option<string?> _csv = new("--csv") { Description = "Write the matrix as CSV.", HelpName = "FILE" };
    private readonly Option<string?> _plot = new("--plot") { Description = "Write a heat map as PNG.", HelpName = "FILE" };
    private readonly Option<long> _seed = new("--seed") { Description = "Seed of the permutations behind adjusted.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("mi", "Shows the mutual information between all pairs of item features.") { _measure, _csv, _plot, _seed };
        _settings = new SettingOptions(
            command, [DataSettings.Items, DataSettings.ItemColumn, .. DataSettings.Features, DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        var measure = (Relatedness)OptionText.Parse("measure", typeof(Relatedness), parsed.GetRequiredValue(_measure));
        SettingValues values = _settings.Given(parsed);
        LoadedItems items = ItemFile.Read(values, "mi");
        if (items.Items.Columns.Count == 0)
        {
            throw new CommandException($"{values.Get("items")} has no feature");
        }

        using Twintail.Device device = DeviceSettings.Open(values, screen);
        MutualInformation information = MutualInformation.Compute(device, items.Items, parsed.GetValue(_seed));
        int count = information.Names.Count;
        var matrix = new double[count, count];
        for (int a = 0; a < count; a++)
        {
            for (int b = 0; b < count; b++)
            {
                matrix[a, b] = information.Get(a, b, measure);
            }
        }

        Show(screen, information, matrix, measure);
        Write(screen, parsed, information, matrix, measure);
        screen.ShowJson(() => Json(information, matrix, measure));
        return 0;
    }

    private static void Show(Screen screen, MutualInformation information, double[,] matrix, Relatedness measure)
    {
        string unit = measure == Relatedness.Plain ? "nats; the diagonal is the entropy" : measure.ToString().ToLowerInvariant();
        Table table = Tables.Create($"mutual information ({unit})", ["", .. information.Names]);
        for (int row = 0; row < information.Names.Count; row++)
        {
            table.Row([information.Names[row], .. Enumerable.Range(0, information.Names.Count).Select(c => Tables.Number(matrix[row, c]))]);
        }

        screen.Show(table);
        Table masks = Tables.Create("the correlated mask by seed: the seed and its most related features", "seed", "masked with it");
        masks.Columns[1].LeftAligned();
        for (int seed = 0; seed < information.Names.Count; seed++)
        {
            masks.Row(information.Names[seed], string.Join(", ", Masked(information, seed, measure)));
        }

        screen.Show(masks);
    }

    private static IEnumerable<string> Masked(MutualInformation information, int seed, Relatedness measure) =>
        information.MaskedWith(seed, measure).Where(feature => feature != seed).Select(feature => information.Names[feature]);

    private void Write(Screen screen, ParseResult parsed, MutualInformation information, double[,] matrix, Relatedness measure)
    {
        if (parsed.GetValue(_csv) is { } csv)
        {
            var text = new StringBuilder(string.Join(',', information.Names.Select(Quoted).Prepend("feature"))).Append('\n');
            for (int row = 0; row < information.Names.Count; row++)
            {
                IEnumerable<string> numbers = Enumerable.Range(0, information.Names.Count)
                    .Select(column => matrix[row, column].ToString("R", CultureInfo.InvariantCulture));
                text.Append(string.Join(',', numbers.Prepend(Quoted(information.Names[row])))).Append('\n');
            }

            File.WriteAllText(csv, text.ToString());
            screen.Show($"matrix:   {csv}");
        }

        if (parsed.GetValue(_plot) is { } plot)
        {
            File.WriteAllBytes(plot, Plots.HeatMap($"Mutual information ({measure.ToString().ToLowerInvariant()})", information.Names, matrix));
            screen.Show($"heat map: {plot}");
        }
    }

    private static string Quoted(string name) =>
        name.AsSpan().IndexOfAny(',', '"', '\n') < 0 ? name : "\"" + name.Replace("\"", "\"\"", StringComparison.Ordinal) + "\"";

    private static JsonObject Json(MutualInformation information, double[,] matrix, Relatedness measure)
    {
        int count = information.Names.Count;
        return new JsonObject
        {
            ["measure"] = OptionText.Format(measure),
            ["features"] = new JsonArray([.. information.Names.Select(name => JsonValue.Create(name))]),
            ["matrix"] = new JsonArray([.. Enumerable.Range(0, count).Select(row =>
                new JsonArray([.. Enumerable.Range(0, count).Select(column => JsonValue.Create(matrix[row, column]))]))]),
            ["masked_with"] = new JsonObject(Enumerable.Range(0, count).Select(seed => KeyValuePair.Create<string, JsonNode?>(
                information.Names[seed], new JsonArray([.. Masked(information, seed, measure).Select(name => JsonValue.Create(name))])))),
        };
    }
}
