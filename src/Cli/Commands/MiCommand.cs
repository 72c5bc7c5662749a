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
using Twintail.Features;
using Twintail.Model;
using Twintail.Training;

namespace Twintail.Cli.Commands;

/// <summary>twintail mi: how much the item features tell about each other.</summary>
internal sealed class MiCommand
{
    private readonly Option<string> _measure = new("--measure")
    {
        Description = "plain (nats), normalized (0 to 1) or adjusted (normalized, less what chance gives), as --relatedness of a training.",
        HelpName = "NAME",
        DefaultValueFactory = _ => OptionText.Format(new TrainingOptions().Relatedness),
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
        OutputFolder.CheckFile(parsed.GetValue(_csv));
        OutputFolder.CheckFile(parsed.GetValue(_plot));
        SettingValues values = _settings.Given(parsed);
        LoadedItems items = ItemFile.Read(values, "mi");
        if (items.Items.Columns.Count == 0)
        {
            throw new CommandException($"{values.Get("items")} has no feature");
        }

        CheckNames(items.Items);
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

        List<KeyValuePair<string, string[]>> masks = Masks(information, items.Items.Rows, measure);
        Show(screen, information, matrix, masks, measure);
        Write(screen, parsed, information, matrix, measure);
        screen.ShowJson(() => Json(information, matrix, masks, measure));
        return 0;
    }

    // As in a training: the id is the first feature of the item tower and counts.
    private static List<KeyValuePair<string, string[]>> Masks(MutualInformation information, int items, Relatedness measure)
    {
        string[] names = [FeatureLayout.IdName, .. information.Names];
        ulong[] sets = CorrelatedSets.Create(information, items, measure);
        string[] Of(int seed) => [.. names.Where((_, feature) => feature != seed && (sets[seed] >> feature & 1) != 0)];
        return [.. names.Select((name, seed) => KeyValuePair.Create(name, Of(seed)))];
    }

    private static void CheckNames(FeatureTable items)
    {
        const int Most = 64; // TT_MAX_FEATURES
        if (items.Columns.Any(column => column.Name == FeatureLayout.IdName))
        {
            throw new BadArgumentException("columns", "names other than the id's", $"'{FeatureLayout.IdName}' (rename the column or --ignore it)");
        }

        if (items.Columns.Count >= Most)
        {
            throw new BadArgumentException("columns", $"less than {Most}, since the id is a feature, too", $"{items.Columns.Count}");
        }
    }

    private static void Show(
        Screen screen, MutualInformation information, double[,] matrix, List<KeyValuePair<string, string[]>> sets, Relatedness measure)
    {
        string unit = measure == Relatedness.Plain ? "nats; the diagonal is the entropy" : measure.ToString().ToLowerInvariant();
        Table table = Tables.Create($"mutual information ({unit})", ["", .. information.Names]);
        for (int row = 0; row < information.Names.Count; row++)
        {
            table.Row([information.Names[row], .. Enumerable.Range(0, information.Names.Count).Select(c => Tables.Number(matrix[row, c]))]);
        }

        screen.Show(table);
        Table masks = Tables.Create(
            "the correlated mask by seed: the seed and its most related features, half of all with the id", "seed", "masked with it");
        masks.Columns[1].LeftAligned();
        foreach ((string seed, string[] masked) in sets)
        {
            masks.Row(seed, string.Join(", ", masked));
        }

        screen.Show(masks);
    }

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

    private static JsonObject Json(
        MutualInformation information, double[,] matrix, List<KeyValuePair<string, string[]>> masks, Relatedness measure)
    {
        int count = information.Names.Count;
        return new JsonObject
        {
            ["measure"] = OptionText.Format(measure),
            ["features"] = new JsonArray([.. information.Names.Select(name => JsonValue.Create(name))]),
            ["matrix"] = new JsonArray([.. Enumerable.Range(0, count).Select(row =>
                new JsonArray([.. Enumerable.Range(0, count).Select(column => JsonValue.Create(matrix[row, column]))]))]),
            ["masked_with"] = new JsonObject(masks.Select(mask => KeyValuePair.Create<string, JsonNode?>(
                mask.Key, new JsonArray([.. mask.Value.Select(name => JsonValue.Create(name))])))),
        };
    }
}
