using System.Runtime.InteropServices;

namespace Twintail.Cli.Terminal;

/// <summary>
/// Turns the first Ctrl-C (SIGINT) or SIGTERM into a request to stop: the running step is finished and a checkpoint written.
/// A second one ends the process at once, as it would without us.
/// </summary>
internal sealed class Signals : IDisposable
{
    private const int SignalExit = 128;

    private static readonly CancellationTokenSource Source = new();
    private static int _signal;
    private readonly PosixSignalRegistration[] _registrations;

    public Signals() => _registrations =
    [
        PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Stop(context, 2)),
        PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Stop(context, 15)),
    ];

    /// <summary>Set when somebody wants the program to stop.</summary>
    public static CancellationToken Token => Source.Token;

    /// <summary>The exit code of a program that a signal stopped: 130 for SIGINT, 143 for SIGTERM.</summary>
    public static int ExitCode => SignalExit + (_signal == 0 ? 2 : _signal);

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
        }
    }
}
