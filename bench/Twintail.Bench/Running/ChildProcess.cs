using System.Diagnostics;

namespace Twintail.Bench.Running;

/// <summary>This program, started again with other settings; or another program.</summary>
internal static class ChildProcess
{
    /// <summary>Runs this program; its output goes to ours.</summary>
    /// <returns>The exit code.</returns>
    public static int RunSelf(IReadOnlyDictionary<string, string> environment, params IEnumerable<string> arguments)
    {
        string program = Environment.ProcessPath ?? throw new InvalidOperationException("the path of this program is unknown");
        bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        var start = new ProcessStartInfo(program, isHost ? arguments.Prepend(typeof(ChildProcess).Assembly.Location) : arguments);
        foreach (var (name, value) in environment)
        {
            start.Environment[name] = value;
        }

        using Process process = Process.Start(start)!;
        process.WaitForExit();
        return process.ExitCode;
    }

    /// <summary>Runs a program and gives what it prints.</summary>
    public static (int ExitCode, IReadOnlyList<string> Lines) Capture(string program, params IEnumerable<string> arguments)
    {
        var start = new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true };
        using Process process = Process.Start(start)!;
        var lines = new List<string>();
        while (process.StandardOutput.ReadLine() is { } line)
        {
            lines.Add(line);
        }

        process.WaitForExit();
        return (process.ExitCode, lines);
    }
}
