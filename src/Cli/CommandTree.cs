using System.CommandLine;
using Twintail.Cli.Commands;
using Twintail.Cli.Terminal;

namespace Twintail.Cli;

/// <summary>The commands, and the options that all of them have.</summary>
internal static class CommandTree
{
    private static readonly Option<bool> Json = new("--json")
    {
        Description = "Write the result as JSON to standard output; everything else goes to standard error.",
        Recursive = true,
    };

    private static readonly Option<bool> Quiet = new("--quiet", "-q")
    {
        Description = "No progress and no notes.",
        Recursive = true,
    };

    private static readonly Option<bool> Verbose = new("--verbose")
    {
        Description = "Show the whole error, with its origin in the program.",
        Recursive = true,
    };

    public static RootCommand Create()
    {
        var root = new RootCommand("Trains two-tower retrieval models that stay good in the long tail.") { Json, Quiet, Verbose };
        root.HelpName = "twintail";
        root.Add(new TrainCommand().Create());
        root.Add(new EvaluateCommand().Create());
        root.Add(new RecommendCommand().Create());
        root.Add(new SimilarCommand().Create());
        root.Add(new MiCommand().Create());
        root.Add(new PreviewCommand().Create());
        root.Add(new DoctorCommand().Create());
        root.Add(new DemoCommand().Create());
        return root;
    }

    public static bool IsVerbose(ParseResult parsed) => parsed.GetValue(Verbose);

    /// <summary>Where a command writes to.</summary>
    public static Screen Screen(ParseResult parsed) => new(parsed.GetValue(Json), parsed.GetValue(Quiet));
}
