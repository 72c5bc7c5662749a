using System.CommandLine;
using System.CommandLine.Parsing;
using Twintail.Data;

namespace Twintail.Cli.Terminal;

/// <summary>A command cannot be carried out for a reason that the person can mend; the message is all there is to say.</summary>
internal sealed class CommandException(string message, int exitCode = Failures.Error) : Exception(message)
{
    public int ExitCode { get; } = exitCode;
}

/// <summary>One line on standard error for every failure, and its exit code.</summary>
internal static class Failures
{
    /// <summary>Something went wrong.</summary>
    public const int Error = 1;

    /// <summary>The command line is wrong.</summary>
    public const int Usage = 2;

    // Of a message; a binary file taken for text has column names as long as itself.
    private const int MostCharacters = 2000;

    /// <summary>Reports a failure.</summary>
    /// <returns>The exit code.</returns>
    public static int Report(Exception error, bool verbose)
    {
        if (error is AggregateException { InnerExceptions.Count: 1 } aggregate)
        {
            error = aggregate.InnerExceptions[0];
        }

        Console.Error.WriteLine("twintail: error: " + OneLine(Describe(error)));
        if (verbose)
        {
            Console.Error.WriteLine(error);
        }

        return error switch
        {
            CommandException command => command.ExitCode,
            BadArgumentException or FormatException => Usage,
            OperationCanceledException => Signals.ExitCode,
            _ => Error,
        };
    }

    /// <summary>Reports a command line that cannot be read, with the option that was probably meant.</summary>
    public static int ReportUsage(ParseResult parsed)
    {
        ParseError error = parsed.Errors[0];
        string message = error.Message.TrimEnd('.');
        string? token = parsed.UnmatchedTokens.FirstOrDefault();
        Command command = parsed.CommandResult.Command;
        if (token != null)
        {
            IEnumerable<string> known = token.StartsWith('-')
                ? command.Options.Concat(parsed.RootCommandResult.Command.Options).Select(o => o.Name)
                : command.Subcommands.Select(c => c.Name);
            message = $"'{token}' is unknown{Suggestions.Clause(token, known)}";
        }

        string path = command.Name == parsed.RootCommandResult.Command.Name ? "twintail" : "twintail " + command.Name;
        Console.Error.WriteLine($"twintail: error: {OneLine(message)} (see {path} --help)");
        return Usage;
    }

    /// <summary>
    /// Whether a file could not be written or read. .NET reports a file that outgrows a limit (EFBIG: ulimit -f, the file system) as an
    /// argument out of range.
    /// </summary>
    public static bool IsStorage(Exception error) =>
        error is IOException or UnauthorizedAccessException || (error is ArgumentOutOfRangeException && IsTooLarge(error));

    /// <summary>What to tell of an error.</summary>
    public static string Describe(Exception error) => error switch
    {
        CommandException or DatasetException or TwintailException or BadArgumentException or FormatException => error.Message,
        OperationCanceledException => "stopped",
        UnauthorizedAccessException or IOException => error.Message,
        ArgumentOutOfRangeException when IsTooLarge(error) => "a file outgrows the limit of the file system or of the process (ulimit -f)",
        OutOfMemoryException => "out of memory",
        _ => $"{error.GetType().Name}: {error.Message} (a defect of Twintail; --verbose shows where)",
    };

    /// <summary>A message in one line: it quotes names and values of files, and what a terminal would obey becomes a question mark.</summary>
    public static string OneLine(string text)
    {
        string line = string.Join(" ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        char[] shown = [.. line.Select(c => c is '\t' or '\r' ? ' ' : char.IsControl(c) || c is '\u2028' or '\u2029' ? '?' : c)];
        return shown.Length <= MostCharacters ? new string(shown) : string.Concat(shown.AsSpan(0, MostCharacters), "...");
    }

    private static bool IsTooLarge(Exception error) =>
        error.StackTrace?.Contains("System.IO.RandomAccess", StringComparison.Ordinal) == true
        || error.StackTrace?.Contains("System.IO.FileStream", StringComparison.Ordinal) == true;
}
