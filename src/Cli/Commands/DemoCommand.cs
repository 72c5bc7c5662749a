using System.CommandLine;
using Twintail.Cli.Demo;
using Twintail.Cli.Settings;
using Twintail.Cli.Terminal;
using Twintail.Data;

namespace Twintail.Cli.Commands;

/// <summary>twintail demo: two losses with and without self-supervision on a synthetic catalogue, compared.</summary>
internal sealed class DemoCommand
{
    private readonly Option<string> _out = new("--out")
    {
        Description = "Folder of data, models, plots and report; what an earlier demo left there is replaced.",
        HelpName = "DIR",
        DefaultValueFactory = _ => "twintail-demo",
    };

    private readonly Option<int> _items = new("--catalogue") { Description = "Items of the synthetic catalogue.", HelpName = "N", DefaultValueFactory = _ => new SyntheticOptions().Items };
    private readonly Option<int> _users = new("--users") { Description = "Users.", HelpName = "N", DefaultValueFactory = _ => new SyntheticOptions().Users };
    private readonly Option<int> _epochs = new("--epochs") { Description = "Epochs of each training.", HelpName = "N", DefaultValueFactory = _ => DemoRun.DefaultEpochs };
    private readonly Option<long> _seed = new("--seed") { Description = "Seed of the data and the trainings.", HelpName = "N", DefaultValueFactory = _ => 1 };
    private SettingOptions _settings = null!;

    public Command Create()
    {
        var command = new Command("demo", "Trains with the plain softmax and with logQ, each without and with self-supervision, and compares them.")
        {
            _out, _items, _users, _epochs, _seed,
        };
        _settings = new SettingOptions(command, [DeviceSettings.Device, TrainingSettings.Threads]);
        command.SetAction(Run);
        return command;
    }

    private int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        string folder = parsed.GetRequiredValue(_out);
        OutputFolder.CheckWritable(folder);
        SettingValues values = _settings.Given(parsed);
        using Twintail.Device device = DeviceSettings.Open(values, screen);
        var run = new DemoRun(screen, device, folder)
        {
            Items = parsed.GetValue(_items),
            Users = parsed.GetValue(_users),
            Epochs = parsed.GetValue(_epochs),
            Seed = parsed.GetValue(_seed),
        };
        return run.Run();
    }
}
