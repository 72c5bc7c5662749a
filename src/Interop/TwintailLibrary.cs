namespace Twintail.Interop;

/// <summary>
/// Finds and loads the native library, once per process.
/// On .NET these places are tried: the file or folder named by the environment variable TWINTAIL_LIBRARY (then nothing
/// else); beside this assembly and beside the program; runtimes/RID/native there; the folders that the host knows from
/// packages; the system's own search. On Mono and Unity the runtime's own search is all there is: put the library beside
/// the program (Unity: into Plugins).
/// </summary>
public static unsafe partial class TwintailLibrary
{
    private static readonly object Gate = new();
    private static volatile bool _isLoaded;
    private static IReadOnlyList<LoadAttempt> _attempts = Array.Empty<LoadAttempt>();

    /// <summary>What the last search tried, the successful place last; empty before the first one.</summary>
    public static IReadOnlyList<LoadAttempt> Attempts
    {
        get
        {
            lock (Gate)
            {
                return _attempts;
            }
        }
    }

    /// <summary>Version of the native library, as "1.2.3".</summary>
    /// <exception cref="NativeLoadException">It cannot be loaded.</exception>
    public static string Version
    {
        get
        {
            EnsureLoaded();
            return Utf8.Read(NativeMethods.tt_version());
        }
    }

    /// <summary>Loads the library unless that has been done, and checks its ABI version. A failure is not remembered.</summary>
    /// <exception cref="NativeLoadException">No library could be loaded, or none fits; lists every attempt.</exception>
    public static void EnsureLoaded()
    {
        if (_isLoaded)
        {
            return;
        }

        lock (Gate)
        {
            if (!_isLoaded)
            {
                Load();
                _isLoaded = true;
            }
        }
    }

    /// <summary>"libtwintail.so", "twintail.dll" or "libtwintail.dylib".</summary>
    internal static string FileName { get; } =
        IsWindows ? NativeMethods.Library + ".dll" : "lib" + NativeMethods.Library + (IsMac ? ".dylib" : ".so");

    private static bool IsWindows => System.Runtime.InteropServices.RuntimeInformation.IsOSPlatform(
        System.Runtime.InteropServices.OSPlatform.Windows);

    private static bool IsMac => System.Runtime.InteropServices.RuntimeInformation.IsOSPlatform(
        System.Runtime.InteropServices.OSPlatform.OSX);

    private static NativeLoadException Failure(IReadOnlyList<LoadAttempt> attempts, Exception? inner = null)
    {
        var text = new System.Text.StringBuilder($"the native library {FileName} cannot be loaded; tried");
        foreach (LoadAttempt attempt in attempts)
        {
            text.Append(attempts.Count == 1 ? " " : $"{Environment.NewLine}  ").Append(attempt);
        }

        return new NativeLoadException(text.ToString(), attempts, inner);
    }

    private static string WrongAbi(int got) => $"ABI version {got}, expected {NativeMethods.TT_ABI_VERSION}";
}
