using System.Runtime.InteropServices;

namespace Twintail.Storage;

/// <summary>
/// Replaces files so that a kill, a power cut or a full disk at any moment leaves the old file or the new one, whole: the new
/// content goes to a temporary name, is forced to disk, renamed over the old one, and the folder's entry is forced to disk.
/// </summary>
internal class AtomicFile
{
    public const string TemporarySuffix = ".tmp";

    /// <summary>Writes a file.</summary>
    /// <param name="path">The final name.</param>
    /// <param name="write">Writes the content to the stream it is given.</param>
    /// <exception cref="IOException">Disk full, no permission, ...; the old file is as it was.</exception>
    /// <exception cref="UnauthorizedAccessException">No permission; the old file is as it was.</exception>
    public void Write(string path, Action<Stream> write)
    {
        string temporary = path + TemporarySuffix;
        try
        {
            using (Stream stream = Open(temporary))
            {
                write(stream);
                Force(stream);
            }

            Replace(temporary, path);
        }
        catch
        {
            TryDelete(temporary);
            throw;
        }

        ForceDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>Writes a text file in UTF-8.</summary>
    public void WriteText(string path, string text)
    {
        byte[] bytes = System.Text.Encoding.UTF8.GetBytes(text);
        Write(path, stream => stream.Write(bytes, 0, bytes.Length));
    }

    // The three steps that can fail, for tests to make fail.
    protected virtual Stream Open(string path) => new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.None, 1 << 16);

    protected virtual void Force(Stream stream)
    {
        if (stream is FileStream file)
        {
            file.Flush(flushToDisk: true);
        }
        else
        {
            stream.Flush();
        }
    }

    protected virtual void Replace(string from, string to)
    {
#if NET10_0_OR_GREATER
        File.Move(from, to, overwrite: true);
#else
        if (File.Exists(to))
        {
            File.Replace(from, to, null);
        }
        else
        {
            File.Move(from, to);
        }
#endif
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The first error is the one to report; the leftover has a name that nobody reads.
        }
    }

    /// <summary>Forces a rename to disk. Managed code has no call for that; where libc cannot be called the file system decides.</summary>
    private static void ForceDirectory(string directory)
    {
        if (RuntimeInformation.IsOSPlatform(OSPlatform.Windows))
        {
            return;
        }

        try
        {
            int file = open(System.Text.Encoding.UTF8.GetBytes(directory + "\0"), 0);
            if (file >= 0)
            {
                fsync(file);
                close(file);
            }
        }
        catch (Exception e) when (e is DllNotFoundException or EntryPointNotFoundException)
        {
            // See above.
        }
    }

#pragma warning disable IDE1006 // names of libc
    [DllImport("libc")]
    private static extern int open(byte[] path, int flags);

    [DllImport("libc")]
    private static extern int fsync(int file);

    [DllImport("libc")]
    private static extern int close(int file);
#pragma warning restore IDE1006
}
