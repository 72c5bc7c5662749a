using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;

namespace Twintail.Cli.Commands;

/// <summary>The catalogue for commands that need nothing else.</summary>
internal static class ItemFile
{
    public static LoadedItems Read(SettingValues values, string command)
    {
        DatasetOptions options = DataSettings.ToOptions(values);
        return options.Items == null
            ? throw new CommandException($"--items is missing (see twintail {command} --help)", Failures.Usage)
            : DatasetReader.ReadItems(options, Signals.Token);
    }
}
