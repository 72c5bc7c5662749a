using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace Twintail.Cli.Terminal;

/// <summary>Results go to standard output, as tables or as JSON; progress and notes to standard error.</summary>
internal sealed class Screen
{
    // A file or a pipe has no width; tables keep their shape there.
    private const int PlainWidth = 160;

    private static readonly JsonSerializerOptions JsonLayout = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public Screen(bool json, bool quiet)
    {
        IsJson = json;
        IsQuiet = quiet;
        Result = Create(Console.Out, Console.IsOutputRedirected);
        Notes = Create(Console.Error, Console.IsErrorRedirected);
        IsLive = !quiet && !Console.IsErrorRedirected && Notes.Profile.Capabilities.Ansi;
    }

    /// <summary>Whether the result is to be JSON.</summary>
    public bool IsJson { get; }

    /// <summary>Whether notes are suppressed.</summary>
    public bool IsQuiet { get; }

    /// <summary>Whether a progress bar can move.</summary>
    public bool IsLive { get; }

    /// <summary>Standard output.</summary>
    public IAnsiConsole Result { get; }

    /// <summary>Standard error.</summary>
    public IAnsiConsole Notes { get; }

    /// <summary>A line for the person who waits.</summary>
    public void Note(string text)
    {
        if (!IsQuiet)
        {
            WriteLine(Notes, Console.Error, Console.IsErrorRedirected, text);
        }
    }

    /// <summary>A line that should be seen even if notes are not.</summary>
    public void Warn(string text)
    {
        Notes.Markup("[yellow]warning:[/] ");
        WriteLine(Notes, Console.Error, Console.IsErrorRedirected, Failures.OneLine(text));
    }

    /// <summary>A part of the result for people; nothing where JSON is asked for.</summary>
    public void Show(IRenderable part)
    {
        if (!IsJson)
        {
            Result.Write(part);
        }
    }

    /// <summary>A line of the result for people; nothing where JSON is asked for.</summary>
    public void Show(string line)
    {
        if (!IsJson)
        {
            WriteLine(Result, Console.Out, Console.IsOutputRedirected, line);
        }
    }

    /// <summary>The result for programs; nothing where it is not asked for.</summary>
    public void ShowJson(Func<JsonNode> result)
    {
        if (IsJson)
        {
            Console.Out.WriteLine(result().ToJsonString(JsonLayout));
        }
    }

    // Spectre breaks long lines, which a file or a pipe does not want.
    private static void WriteLine(IAnsiConsole console, TextWriter plain, bool redirected, string text)
    {
        if (redirected)
        {
            plain.WriteLine(text);
        }
        else
        {
            console.WriteLine(text);
        }
    }

    private static IAnsiConsole Create(TextWriter writer, bool redirected)
    {
        IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(writer),
            Ansi = redirected ? AnsiSupport.No : AnsiSupport.Detect,
            Interactive = redirected ? InteractionSupport.No : InteractionSupport.Detect,
        });
        if (redirected)
        {
            console.Profile.Width = PlainWidth;
        }

        return console;
    }
}
