using System.CommandLine;
using Twintail.Cli.Terminal;

namespace Twintail.Cli;

/// <summary>The command line program.</summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        // Numbers of options and files are invariant; texts are UTF-8 whatever the locale says.
        Console.OutputEncoding = System.Text.Encoding.UTF8;
        TerminalWriter.Install();
        RootCommand root = CommandTree.Create();
        if (arguments.Length == 0)
        {
            root.Parse("--help").Invoke();
            return Failures.Usage;
        }

        ParseResult parsed = root.Parse(arguments);
        if (parsed.Errors.Count > 0)
        {
            return Failures.ReportUsage(parsed);
        }

        using var signals = new Signals();
        try
        {
            return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (Exception error)
        {
            return Failures.Report(error, CommandTree.IsVerbose(parsed));
        }
    }
}
