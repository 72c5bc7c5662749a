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
    /// <exception cref="CommandException">Not a flat JSON object, an unknown setting, or one that is there twice.</exception>
    public static SettingValues Read(string path)
    {
        using JsonDocument document = Parse(path);
        if (document.RootElement.ValueKind != JsonValueKind.Object)
        {
            throw new CommandException($"{path}: expected a JSON object");
        }

        var values = new SettingValues();
        var names = new Dictionary<string, string>();
        foreach (JsonProperty member in document.RootElement.EnumerateObject())
        {
            string name = member.Name;
            string key = Canonical(name)
                ?? throw new CommandException($"{path}: there is no setting '{name}'{Suggestions.Clause(name, Known.Select(s => s.Key))}");
            if (!names.TryAdd(key, name))
            {
                throw new CommandException(
                    $"{path}: expected each setting once, got '{key}' twice{(names[key] == name ? "" : $", as '{names[key]}' and '{name}'")}");
            }

            if (member.Value.ValueKind != JsonValueKind.Null)
            {
                values[key] = Text(path, name, member.Value);
            }
        }

        return values;
    }

    /// <summary>Writes settings beside a model, atomically.</summary>
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

        new Storage.AtomicFile().WriteText(Path.Combine(directory, RunFile), json.ToJsonString(Layout) + "\n");
    }

    /// <summary>The settings beside a model; none if the file is not there (a model that was not trained from the command line).</summary>
    public static SettingValues ReadRun(string directory)
    {
        string path = Path.Combine(directory, RunFile);
        return File.Exists(path) ? Read(path) : [];
    }

    private static JsonDocument Parse(string path)
    {
        try
        {
            return JsonDocument.Parse(File.ReadAllText(path), Lenient);
        }
        catch (JsonException error)
        {
            throw new CommandException($"{path}: not JSON: {error.Message}");
        }
    }

    // snake_case, kebab-case and PascalCase are all welcome.
    private static string? Canonical(string name)
    {
        static string Bare(string text) => text.Replace("_", "").Replace("-", "").ToLowerInvariant();
        return Known.FirstOrDefault(setting => Bare(setting.Key) == Bare(name))?.Key;
    }

    private static string Text(string path, string name, JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Array when value.EnumerateArray().All(IsPlain) => string.Join(",", value.EnumerateArray().Select(item => Text(path, name, item))),
        JsonValueKind.String => value.GetString()!,
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => value.GetRawText(),
        _ => throw new CommandException($"{path}: '{name}': expected a text, a number, true, false or a list of them"),
    };

    private static bool IsPlain(JsonElement value) =>
        value.ValueKind is JsonValueKind.String or JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False;
}
