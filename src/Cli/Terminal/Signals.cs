using System.Runtime.InteropServices;

namespace Twintail.Cli.Terminal;

/// <summary>
/// Turns the first Ctrl-C (SIGINT), SIGTERM or SIGHUP (the terminal is gone) into a request to stop: a training finishes its step and
/// writes a checkpoint, reading stops at the next rows. Where nobody heeds the request for a moment (a read that blocks, a long
/// evaluation), the process ends: outside a training nothing is left half-done. A second signal ends the process at once, as it would
/// without us, unless it is SIGHUP: that of a lost session comes twice, from the shell and from the kernel as the shell ends.
/// </summary>
internal sealed class Signals : IDisposable
{
    private const int SignalExit = 128;
    private const int Hangup = 1;
    private const int TickMilliseconds = 100;
    private const int TicksOfGrace = 10;
    private const string ShowCursor = "\x1b[?25h";

    private static readonly CancellationTokenSource Source = new();
    private static int _signal;
    private static int _heeding;
    private readonly PosixSignalRegistration[] _registrations;

    // .NET leaves a signal ignored that was ignored at the start, so that under nohup the program outlives its terminal.
    public Signals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Stop(context, Hangup)),
        PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Stop(context, 2)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Stop(context, 15)),
    ];

    /// <summary>Set when somebody wants the program to stop.</summary>
    public static CancellationToken Token => Source.Token;

    /// <summary>The exit code of a program that a signal stopped: 129 for SIGHUP, 130 for SIGINT, 143 for SIGTERM.</summary>
    public static int ExitCode => SignalExit + (_signal == 0 ? 2 : _signal);

    /// <summary>Runs work that must be left to stop by itself, however long its step takes.</summary>
    public static T Heeding<T>(Func<CancellationToken, T> work)
    {
        Interlocked.Increment(ref _heeding);
        try
        {
            return work(Token);
        }
        finally
        {
            Interlocked.Decrement(ref _heeding);
        }
    }

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
        {
            registration.Dispose();
        }
    }

    private static void Stop(PosixSignalContext context, int number)
    {
        if (Interlocked.CompareExchange(ref _signal, number, 0) == 0)
        {
            context.Cancel = true;
            Source.Cancel();
            new Thread(EndUnlessHeeded) { IsBackground = true, Name = "stop" }.Start();
        }
        else if (number == Hangup)
        {
            context.Cancel = true;
        }
        else
        {
            RestoreTerminal();
        }
    }

    private static void EndUnlessHeeded()
    {
        for (int ticks = 0; ticks < TicksOfGrace;)
        {
            Thread.Sleep(TickMilliseconds);
            ticks = Volatile.Read(ref _heeding) == 0 ? ticks + 1 : 0;
        }

        Console.Error.WriteLine("twintail: error: stopped");
        RestoreTerminal();
        if (OperatingSystem.IsWindows())
        {
            Environment.Exit(ExitCode);
        }

        // Not Exit, which would tear the native libraries down under threads that are still in them.
        EndProcess(ExitCode);
    }

    // A progress bar hides the cursor.
    private static void RestoreTerminal()
    {
        if (!Console.IsErrorRedirected)
        {
            Console.Error.Write(ShowCursor);
        }
    }

    [DllImport("libc", EntryPoint = "_exit")]
    private static extern void EndProcess(int status);
}
