using System.Runtime.CompilerServices;

namespace Twintail.Interop;

/// <summary>Turns the statuses of the C API into exceptions.</summary>
public static unsafe class Status
{
    /// <summary>Returns when <paramref name="status"/> is TT_OK; otherwise throws the typed exception of the last failure on this thread.</summary>
    /// <exception cref="BadArgumentException">TT_BAD_ARGUMENT.</exception>
    /// <exception cref="DeviceOutOfMemoryException">TT_OUT_OF_MEMORY.</exception>
    /// <exception cref="NoDeviceException">TT_NO_DEVICE.</exception>
    /// <exception cref="DeviceErrorException">TT_DEVICE_ERROR.</exception>
    /// <exception cref="UnsupportedException">TT_UNSUPPORTED.</exception>
    /// <exception cref="InternalErrorException">TT_INTERNAL, or a status that this version does not know.</exception>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(tt_status status)
    {
        if (status != tt_status.TT_OK)
        {
            throw ToException(status);
        }
    }

    /// <summary>The exception for a failed call that just returned <paramref name="status"/> on this thread.</summary>
    public static Exception ToException(tt_status status)
    {
        tt_error error = default;
        NativeMethods.tt_last_error(&error);

        // A status without a matching report (a foreign library, a defect) must not be dressed up with old texts.
        return error.status == (int)status
            ? FromError(&error)
            : new InternalErrorException($"the native library returned {status} without a report (last report: status {error.status})");
    }

    private static Exception FromError(tt_error* error)
    {
        string message = Utf8.Read(error->message, 2048);
        switch ((tt_status)error->status)
        {
            case tt_status.TT_BAD_ARGUMENT:
                return new BadArgumentException(
                    Utf8.Read(error->argument, 64), Utf8.Read(error->expected, 192), Utf8.Read(error->got, 128), message);
            case tt_status.TT_OUT_OF_MEMORY:
                return new DeviceOutOfMemoryException(message, error->asked_bytes, error->free_bytes);
            case tt_status.TT_NO_DEVICE:
                return new NoDeviceException(message, SplitAttempts(message));
            case tt_status.TT_DEVICE_ERROR:
                return new DeviceErrorException(message);
            case tt_status.TT_UNSUPPORTED:
                return new UnsupportedException(message);
            default:
                return new InternalErrorException(message);
        }
    }

    /// <summary>The attempts that a one-line reason of the native library lists, separated by "; ".</summary>
    internal static string[] SplitAttempts(string reason) =>
        reason.Split(new[] { "; " }, StringSplitOptions.RemoveEmptyEntries);
}
