using System.CommandLine;

namespace Twintail.Cli.Settings;

/// <summary>Something that can be set on the command line (kebab-case) and in a configuration file (snake_case).</summary>
/// <param name="Name">kebab-case, without the dashes.</param>
/// <param name="Help">What it does.</param>
/// <param name="Value">What stands for its value in the help; null for a switch.</param>
internal sealed record Setting(string Name, string Help, string? Value)
{
    /// <summary>Its key in a configuration file.</summary>
    public string Key => Name.Replace('-', '_');
}

/// <summary>Values by key, as text.</summary>
internal sealed class SettingValues : SortedDictionary<string, string>
{
    public SettingValues()
        : base(StringComparer.Ordinal)
    {
    }

    public SettingValues(IDictionary<string, string> values)
        : base(values, StringComparer.Ordinal)
    {
    }

    /// <summary>A value, or null.</summary>
    public string? Get(string key) => TryGetValue(key, out string? value) ? value : null;

    /// <summary>A comma-separated list, or null.</summary>
    public string[]? List(string key) => Get(key)?.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);

    /// <summary>These values with those of <paramref name="over"/> in their place where both have one.</summary>
    public SettingValues With(SettingValues over)
    {
        var merged = new SettingValues(this);
        foreach ((string key, string value) in over)
        {
            merged[key] = value;
        }

        return merged;
    }
}

/// <summary>The options of a command that belong to settings.</summary>
internal sealed class SettingOptions
{
    // Settings may be repeated, the last one counts: scripts put theirs in front of what the user adds.
    private const int MostRepeats = 1000;

    private readonly List<(Setting Setting, Option<string[]> Option)> _options = [];

    public SettingOptions(Command command, IEnumerable<Setting> settings)
    {
        foreach (Setting setting in settings)
        {
            var option = new Option<string[]>("--" + setting.Name)
            {
                Description = setting.Help,
                HelpName = setting.Value ?? "true|false",
                Arity = new ArgumentArity(setting.Value == null ? 0 : 1, MostRepeats),
            };
            command.Add(option);
            _options.Add((setting, option));
        }
    }

    /// <summary>The values given on the command line; a switch without a value is true.</summary>
    public SettingValues Given(ParseResult parsed)
    {
        var values = new SettingValues();
        foreach ((Setting setting, Option<string[]> option) in _options)
        {
            if (parsed.GetResult(option) is { Implicit: false })
            {
                values[setting.Key] = parsed.GetValue(option)?.LastOrDefault() ?? "true";
            }
        }

        return values;
    }
}
