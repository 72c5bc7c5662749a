using System.Text;

namespace Twintail.Cli.Terminal;

/// <summary>
/// Writes to a terminal that may go away: a training whose SSH session is lost has a checkpoint to write and must not end at a line that
/// nobody can read. A file or a pipe is not written through this: there an error loses part of a result.
/// </summary>
internal sealed class TerminalWriter : TextWriter
{
    private readonly TextWriter _terminal;

    private TerminalWriter(TextWriter terminal) => _terminal = terminal;

    /// <inheritdoc/>
    public override Encoding Encoding => _terminal.Encoding;

    /// <summary>Puts itself in front of those of standard output and standard error that are terminals.</summary>
    public static void Install()
    {
        if (!Console.IsOutputRedirected)
        {
            Console.SetOut(new TerminalWriter(Console.Out));
        }

        if (!Console.IsErrorRedirected)
        {
            Console.SetError(new TerminalWriter(Console.Error));
        }
    }

    /// <inheritdoc/>
    public override void Write(char value) => Try(() => _terminal.Write(value));

    /// <inheritdoc/>
    public override void Write(char[] buffer, int index, int count) => Try(() => _terminal.Write(buffer, index, count));

    /// <inheritdoc/>
    public override void Write(string? value) => Try(() => _terminal.Write(value));

    /// <inheritdoc/>
    public override void WriteLine(string? value) => Try(() => _terminal.WriteLine(value));

    /// <inheritdoc/>
    public override void Flush() => Try(_terminal.Flush);

    private static void Try(Action write)
    {
        try
        {
            write();
        }
        catch (IOException)
        {
            // EIO: the terminal has hung up.
        }
    }
}
