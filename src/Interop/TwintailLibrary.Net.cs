#if NET
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Twintail.Interop;

/// <content>The search on .NET, which tells for every place why it failed.</content>
public static unsafe partial class TwintailLibrary
{
    internal const string PathVariable = "TWINTAIL_LIBRARY";

    private static IntPtr _library;

    /// <summary>Tries the candidates in turn; a library that does not fit counts as failed.</summary>
    /// <returns>The library, or zero; the attempts say why.</returns>
    private static IntPtr TryLoad(IEnumerable<string> candidates, List<LoadAttempt> attempts)
    {
        foreach (string candidate in candidates)
        {
            bool isFile = Path.IsPathRooted(candidate);
            string? error = isFile && !File.Exists(candidate) ? "no such file" : null;
            if (error == null && TryLoadOne(candidate, out IntPtr library, out error))
            {
                attempts.Add(new LoadAttempt(candidate, null));
                return library;
            }

            attempts.Add(new LoadAttempt(candidate, error));
        }

        return IntPtr.Zero;
    }

    /// <summary>The places to look at, in order.</summary>
    internal static IEnumerable<string> Candidates()
    {
        string? named = Environment.GetEnvironmentVariable(PathVariable);
        if (!string.IsNullOrEmpty(named))
        {
            string full = Path.GetFullPath(named);
            yield return Directory.Exists(full) ? Path.Combine(full, FileName) : full;
            yield break;
        }

        foreach (string folder in Folders()
                     .Where(folder => folder.Length > 0)
                     .Select(folder => Path.TrimEndingDirectorySeparator(Path.GetFullPath(folder)))
                     .Distinct())
        {
            yield return Path.Combine(folder, FileName);
        }

        yield return FileName;
    }

    // A resolver must be in place before the first call through NativeMethods, whoever makes it.
    [ModuleInitializer]
    [SuppressMessage("Usage", "CA2255", Justification = "Registers a callback and does nothing else.")]
    internal static void RegisterResolver() => NativeLibrary.SetDllImportResolver(typeof(NativeMethods).Assembly, Resolve);

    private static IntPtr Resolve(string name, Assembly assembly, DllImportSearchPath? path)
    {
        if (name != NativeMethods.Library)
        {
            return IntPtr.Zero;
        }

        EnsureLoaded();
        return _library;
    }

    /// <summary>Loads the first candidate that fits.</summary>
    /// <exception cref="NativeLoadException">None does.</exception>
    internal static IntPtr LoadFrom(IEnumerable<string> candidates, List<LoadAttempt> attempts)
    {
        IntPtr library = TryLoad(candidates, attempts);
        return library != IntPtr.Zero ? library : throw Failure(attempts);
    }

    private static void Load()
    {
        var attempts = new List<LoadAttempt>();
        _attempts = attempts;
        _library = LoadFrom(Candidates(), attempts);
    }

    private static bool TryLoadOne(string candidate, out IntPtr library, [NotNullWhen(false)] out string? error)
    {
        library = IntPtr.Zero;
        try
        {
            library = NativeLibrary.Load(candidate);
        }
        catch (Exception exception) when (exception is DllNotFoundException or BadImageFormatException)
        {
            error = exception.Message.ReplaceLineEndings(" ").Trim();
            return false;
        }

        if (!NativeLibrary.TryGetExport(library, nameof(NativeMethods.tt_abi_version), out IntPtr function))
        {
            error = $"no symbol {nameof(NativeMethods.tt_abi_version)}";
        }
        else
        {
            int version = ((delegate* unmanaged[Cdecl]<int>)function)();
            error = version == NativeMethods.TT_ABI_VERSION ? null : WrongAbi(version);
        }

        if (error == null)
        {
            return true;
        }

        NativeLibrary.Free(library);
        library = IntPtr.Zero;
        return false;
    }

    private static IEnumerable<string> Folders()
    {
        string[] own = [AssemblyFolder(), AppContext.BaseDirectory];
        foreach (string folder in own)
        {
            yield return folder;
        }

        string platform = IsWindows ? "win" : IsMac ? "osx" : "linux";
        string portable = $"{platform}-{RuntimeInformation.ProcessArchitecture.ToString().ToLowerInvariant()}";
        foreach (string rid in new[] { RuntimeInformation.RuntimeIdentifier, portable })
        {
            foreach (string folder in own)
            {
                yield return folder.Length == 0 ? "" : Path.Combine(folder, "runtimes", rid, "native");
            }
        }

        // Where the host has unpacked or found the native files of packages.
        string known = AppContext.GetData("NATIVE_DLL_SEARCH_DIRECTORIES") as string ?? "";
        foreach (string folder in known.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries))
        {
            yield return folder;
        }
    }

    [UnconditionalSuppressMessage("SingleFile", "IL3000", Justification = "Empty in a single file, and then left out.")]
    private static string AssemblyFolder() => Path.GetDirectoryName(typeof(NativeMethods).Assembly.Location) ?? "";
}
#endif
