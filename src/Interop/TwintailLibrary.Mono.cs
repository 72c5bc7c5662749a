#if !NET
namespace Twintail.Interop;

/// <content>netstandard2.1: the runtime searches; only its failure can be explained.</content>
public static unsafe partial class TwintailLibrary
{
    private static void Load()
    {
        string beside = Path.Combine(AppDomain.CurrentDomain.BaseDirectory, FileName);
        string? error;
        Exception? inner = null;
        try
        {
            int version = NativeMethods.tt_abi_version();
            error = version == NativeMethods.TT_ABI_VERSION ? null : WrongAbi(version);
        }
        catch (Exception exception) when (exception is DllNotFoundException || exception is BadImageFormatException
                                          || exception is EntryPointNotFoundException)
        {
            error = exception.Message;
            inner = exception;
        }

        string found = File.Exists(beside) ? "there is such a file" : "no such file; put the library there";
        var attempts = new List<LoadAttempt> { new LoadAttempt(NativeMethods.Library, error) };
        if (error != null)
        {
            attempts.Add(new LoadAttempt(beside, found));
        }

        _attempts = attempts;
        if (error != null)
        {
            throw Failure(attempts, inner);
        }
    }
}
#endif
