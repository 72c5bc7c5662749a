namespace Twintail;

/// <summary>Base of the errors that Twintail raises, except <see cref="BadArgumentException"/>, which is an <see cref="ArgumentException"/>.</summary>
public class TwintailException : Exception
{
    /// <summary>Creates the exception.</summary>
    public TwintailException(string message, Exception? inner = null)
        : base(message, inner)
    {
    }
}

/// <summary>An argument breaks the contract of the call; nothing was computed.</summary>
public sealed class BadArgumentException : ArgumentException
{
    private readonly string _message;

    /// <summary>Creates the exception from its three parts; the message is composed of them unless given.</summary>
    public BadArgumentException(string argument, string expected, string got, string? message = null)
        : base(message, argument)
    {
        Argument = argument;
        Expected = expected;
        Got = got;
        _message = string.IsNullOrEmpty(message) ? $"{argument}: expected {expected}, got {got}." : message!;
    }

    /// <summary>Which argument, with the position where it is an array's element: "positives[17]".</summary>
    public string Argument { get; }

    /// <summary>What would have been right: "an index in [0, 512)".</summary>
    public string Expected { get; }

    /// <summary>What came: "512".</summary>
    public string Got { get; }

    /// <summary>All of it in one line.</summary>
    public override string Message => _message;
}

/// <summary>The device has not enough memory left. The device still works: free something or take smaller batches.</summary>
public sealed class DeviceOutOfMemoryException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public DeviceOutOfMemoryException(string message, long askedBytes, long freeBytes)
        : base(message)
    {
        AskedBytes = askedBytes;
        FreeBytes = freeBytes;
    }

    /// <summary>Bytes that were asked for.</summary>
    public long AskedBytes { get; }

    /// <summary>Bytes that were free then; -1 where the system does not say.</summary>
    public long FreeBytes { get; }
}

/// <summary>There is no such device on this machine, or its backend could not be loaded.</summary>
public sealed class NoDeviceException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public NoDeviceException(string message, IReadOnlyList<string> attempts)
        : base(message) => Attempts = attempts;

    /// <summary>Everything that was tried, each with the reason why it failed.</summary>
    public IReadOnlyList<string> Attempts { get; }
}

/// <summary>The device itself failed. Its context is dead: dispose it and everything made with it.</summary>
public sealed class DeviceErrorException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public DeviceErrorException(string message)
        : base(message)
    {
    }
}

/// <summary>The request is valid, but this device or this build cannot do it.</summary>
public sealed class UnsupportedException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public UnsupportedException(string message)
        : base(message)
    {
    }
}

/// <summary>A defect of Twintail; please report it with the message.</summary>
public sealed class InternalErrorException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public InternalErrorException(string message)
        : base(message)
    {
    }
}

/// <summary>The native library was not found, could not be loaded or does not fit.</summary>
public sealed class NativeLoadException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public NativeLoadException(string message, IReadOnlyList<LoadAttempt> attempts, Exception? inner = null)
        : base(message, inner) => Attempts = attempts;

    /// <summary>Every place that was tried, in that order.</summary>
    public IReadOnlyList<LoadAttempt> Attempts { get; }
}

/// <summary>One try to load the native library.</summary>
public sealed class LoadAttempt
{
    /// <summary>Creates the record of a try.</summary>
    public LoadAttempt(string path, string? error)
    {
        Path = path;
        Error = error;
    }

    /// <summary>The file, or the bare name where the system's own search was asked.</summary>
    public string Path { get; }

    /// <summary>The system's reason, or null: this one was loaded.</summary>
    public string? Error { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Path}: {Error ?? "loaded"}";
}
