namespace Twintail;

/// <summary>A file of a model or checkpoint is damaged, cut short, or does not belong to the others.</summary>
public sealed class CorruptFileException : TwintailException
{
    /// <summary>Creates the exception.</summary>
    public CorruptFileException(string path, string reason, Exception? inner = null)
        : base($"{path}: {reason}", inner) => Path = path;

    /// <summary>The file.</summary>
    public string Path { get; }
}
