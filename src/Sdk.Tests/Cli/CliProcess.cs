using System.Diagnostics;
using System.Text;
using System.Text.Json.Nodes;

namespace Twintail.Tests.Cli;

/// <summary>What a run of the program left.</summary>
internal sealed record CliResult(int ExitCode, string Out, string Error)
{
    public JsonObject Json => JsonNode.Parse(Out)!.AsObject();

    public string[] ErrorLines => Error.Split('\n', StringSplitOptions.RemoveEmptyEntries);
}

/// <summary>The command line program in a process of its own, as people run it.</summary>
internal sealed class CliProcess : IDisposable
{
    private const int MostSeconds = 300;
    private const string DefaultSignals = "--default-signal=HUP,INT,TERM";

    private readonly Process _process;
    private readonly StringBuilder _out = new();
    private readonly StringBuilder _error = new();

    private CliProcess(ProcessStartInfo start)
    {
        start.RedirectStandardOutput = start.RedirectStandardError = start.RedirectStandardInput = true;
        _process = new Process { StartInfo = start };
        _process.OutputDataReceived += (_, e) => Append(_out, e.Data);
        _process.ErrorDataReceived += (_, e) => Append(_error, e.Data);
        _process.Start();
        _process.StandardInput.Close();
        _process.BeginOutputReadLine();
        _process.BeginErrorReadLine();
    }

    public int Id => _process.Id;

    public bool HasExited => _process.HasExited;

    /// <summary>What has come on standard error until now.</summary>
    public string ErrorSoFar
    {
        get
        {
            lock (_out)
            {
                return _error.ToString();
            }
        }
    }

    /// <summary>Starts the program.</summary>
    public static CliProcess Start(params string[] arguments)
    {
        // A test run that was itself started in the background of a shell, or by nohup, would hand down ignored signals.
        var start = new ProcessStartInfo("env");
        foreach (string argument in Program.Prepend(DefaultSignals).Concat(arguments))
        {
            start.ArgumentList.Add(argument);
        }

        return new CliProcess(start);
    }

    /// <summary>Starts the program from a shell that first runs a command, such as ulimit.</summary>
    public static CliProcess StartAfter(string command, params string[] arguments)
    {
        var start = new ProcessStartInfo("bash");
        start.ArgumentList.Add("-c");
        start.ArgumentList.Add(command + "; exec \"$@\"");
        start.ArgumentList.Add("bash");
        foreach (string argument in Program.Concat(arguments))
        {
            start.ArgumentList.Add(argument);
        }

        return new CliProcess(start);
    }

    /// <summary>
    /// Starts the program on a terminal of its own, which ends with the returned process; standard output and, at its end, its exit code go
    /// to files.
    /// </summary>
    public static CliProcess StartOnTerminal(string outFile, string exitCodeFile, params string[] arguments)
    {
        static string Quoted(string text) => "'" + text.Replace("'", "'\\''", StringComparison.Ordinal) + "'";
        string program = string.Join(' ', Program.Prepend(DefaultSignals).Concat(arguments).Select(Quoted));
        // The kernel tells the shell alone, which tells the program as a login shell would, and outlives the terminal to note its exit code.
        string command = $"env {program} > {Quoted(outFile)} & p=$!; trap 'kill -HUP $p' HUP; wait $p; wait $p; echo $? > {Quoted(exitCodeFile)}";
        // A shell cannot trap what it was started to ignore.
        var start = new ProcessStartInfo("env", [DefaultSignals, "script", "-q", "-c", command, "/dev/null"]);
        start.Environment["TERM"] = "xterm";
        start.Environment["SHELL"] = "/bin/bash";
        return new CliProcess(start);
    }

    /// <summary>Runs the program to its end.</summary>
    public static CliResult Run(params string[] arguments)
    {
        using CliProcess process = Start(arguments);
        return process.Wait();
    }

    /// <summary>Runs it and expects success.</summary>
    public static CliResult Succeed(params string[] arguments)
    {
        CliResult result = Run(arguments);
        Assert.That(result.ExitCode, Is.Zero, $"twintail {string.Join(' ', arguments)}\n{result.Error}");
        return result;
    }

    /// <summary>Runs it and expects a failure told in one line.</summary>
    public static string Fail(params string[] arguments) => Failed(Run(arguments));

    /// <summary>The one line that a failed run wrote.</summary>
    public static string Failed(CliResult result)
    {
        Assert.That(result.ExitCode, Is.Not.Zero, result.Out);
        string[] errors = result.ErrorLines.Where(line => line.StartsWith("twintail: error: ", StringComparison.Ordinal)).ToArray();
        Assert.That(errors, Has.Length.EqualTo(1), result.Error);
        Assert.That(result.ErrorLines[^1], Is.EqualTo(errors[0]), "nothing follows the error");
        Assert.That(result.Error, Does.Not.Contain("   at "), "no stack trace");
        Assert.That(result.Out, Is.Empty);
        return errors[0];
    }

    public CliResult Wait()
    {
        if (!_process.WaitForExit(TimeSpan.FromSeconds(MostSeconds)))
        {
            _process.Kill();
            Assert.Fail($"still running after {MostSeconds} s");
        }

        _process.WaitForExit();
        lock (_out)
        {
            return new CliResult(_process.ExitCode, _out.ToString(), _error.ToString());
        }
    }

    /// <summary>Sends a signal by name: HUP, INT, TERM, KILL.</summary>
    public void Signal(string name)
    {
        using Process kill = Process.Start("kill", ["-" + name, Id.ToString()]);
        kill.WaitForExit();
    }

    /// <summary>Sends a signal again and again until the program ends; <see cref="Wait"/> tells how it did.</summary>
    public void SignalUntilExit(string name)
    {
        var clock = Stopwatch.StartNew();
        while (!HasExited && clock.Elapsed.TotalSeconds < MostSeconds)
        {
            Signal(name);
            Thread.Sleep(50);
        }
    }

    /// <summary>Waits until something holds or the program ends.</summary>
    /// <returns>Whether it holds while the program still runs.</returns>
    public bool WaitFor(Func<bool> condition)
    {
        var clock = Stopwatch.StartNew();
        while (!condition() && !HasExited && clock.Elapsed.TotalSeconds < MostSeconds)
        {
            Thread.Sleep(5);
        }

        return !HasExited && condition();
    }

    public void Dispose() => _process.Dispose();

    private void Append(StringBuilder to, string? line)
    {
        lock (_out)
        {
            if (line != null)
            {
                to.Append(line).Append('\n');
            }
        }
    }

    private static string[] Program { get; } = Find();

    private static string[] Find()
    {
        string folder = AppContext.BaseDirectory;
        string launcher = Path.Combine(folder, "Twintail.Cli");
        return File.Exists(launcher) ? [launcher] : ["dotnet", Path.Combine(folder, "Twintail.Cli.dll")];
    }
}
