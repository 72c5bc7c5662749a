using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Twintail.Cli.Terminal;
using Twintail.Training;

namespace Twintail.Cli.Settings;

/// <summary>Settings in a flat JSON object. The effective ones are kept with each model in run.json, which is such a file again.</summary>
internal static class ConfigFile
{
    /// <summary>Name of the file beside a model.</summary>
    public const string RunFile = "run.json";

    private static readonly JsonSerializerOptions Layout = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private static readonly JsonDocumentOptions Lenient = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    /// <summary>Every setting that a file may hold.</summary>
    private static readonly Setting[] Known =
        [.. DataSettings.All, .. TrainingSettings.All, DeviceSettings.Device, new("out", "", "DIR")];

    /// <summary>Reads a file.</summary>
    /// <exception cref="CommandException">Not a flat JSON object, or an unknown setting.</exception>
    public static SettingValues Read(string path)
    {
        JsonObject json;
        try
        {
            json = JsonNode.Parse(File.ReadAllText(path), documentOptions: Lenient) as JsonObject
                ?? throw new CommandException($"{path}: expected a JSON object");
        }
        catch (JsonException error)
        {
            throw new CommandException($"{path}: not JSON: {error.Message}");
        }

        var values = new SettingValues();
        foreach ((string name, JsonNode? node) in json)
        {
            string key = Canonical(name)
                ?? throw new CommandException($"{path}: there is no setting '{name}'{Suggestions.Clause(name, Known.Select(s => s.Key))}");
            if (node != null)
            {
                values[key] = Text(path, name, node);
            }
        }

        return values;
    }

    /// <summary>Writes settings beside a model, by way of a temporary file.</summary>
    public static void WriteRun(string directory, SettingValues data, TrainingOptions training)
    {
        var json = new JsonObject();
        foreach (Setting setting in Known)
        {
            if (data.Get(setting.Key) is { } value && !TrainingSettings.All.Contains(setting))
            {
                // A training may be resumed from another folder.
                bool isPath = setting.Value is "FILE" or "DIR";
                json[setting.Key] = isPath ? Path.GetFullPath(value) : value;
            }
        }

        foreach ((string key, JsonNode? value) in JsonNode.Parse(training.ToJson())!.AsObject())
        {
            json[key] = value?.DeepClone();
        }

        string path = Path.Combine(directory, RunFile);
        File.WriteAllText(path + ".tmp", json.ToJsonString(Layout) + "\n");
        File.Move(path + ".tmp", path, overwrite: true);
    }

    /// <summary>The settings beside a model; none if the file is not there (a model that was not trained from the command line).</summary>
    public static SettingValues ReadRun(string directory)
    {
        string path = Path.Combine(directory, RunFile);
        return File.Exists(path) ? Read(path) : [];
    }

    // snake_case, kebab-case and PascalCase are all welcome.
    private static string? Canonical(string name)
    {
        static string Bare(string text) => text.Replace("_", "").Replace("-", "").ToLowerInvariant();
        return Known.FirstOrDefault(setting => Bare(setting.Key) == Bare(name))?.Key;
    }

    private static string Text(string path, string name, JsonNode node) => node switch
    {
        JsonArray list when list.All(item => item is JsonValue) => string.Join(",", list.Select(item => Text(path, name, item!))),
        JsonValue value when value.GetValueKind() == JsonValueKind.String => value.GetValue<string>(),
        JsonValue value => value.ToJsonString(),
        _ => throw new CommandException($"{path}: '{name}': expected a text, a number, true, false or a list of them"),
    };
}
