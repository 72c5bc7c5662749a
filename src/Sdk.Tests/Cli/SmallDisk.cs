using System.Diagnostics;

namespace Twintail.Tests.Cli;

/// <summary>A file system of a few megabytes that can be filled up.</summary>
internal sealed class SmallDisk : IDisposable
{
    private SmallDisk(string path) => Path = path;

    public string Path { get; }

    private string Ballast => System.IO.Path.Combine(Path, "ballast");

    /// <summary>Mounts it; null where that is not allowed.</summary>
    public static SmallDisk? Mount(string path, string size)
    {
        Directory.CreateDirectory(path);
        return Execute("mount", "-t", "tmpfs", "-o", "size=" + size, "tmpfs", path) ? new SmallDisk(path) : null;
    }

    /// <summary>Takes all the space that is left, beside what it took before.</summary>
    public void Fill()
    {
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(Ballast, FileMode.OpenOrCreate, FileAccess.Write);
        long length = RandomAccess.GetLength(file);
        foreach (int size in new[] { 1 << 16, 4096, 1 })
        {
            var block = new byte[size];
            try
            {
                for (; ; length += size)
                {
                    RandomAccess.Write(file, block, length);
                }
            }
            catch (IOException)
            {
                // Full: on with smaller blocks.
            }
        }
    }

    /// <summary>Gives the space back.</summary>
    public void Empty() => File.Delete(Ballast);

    public void Dispose() => Execute("umount", "-l", Path);

    private static bool Execute(string program, params string[] arguments)
    {
        try
        {
            using Process process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
            process.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false;
        }
    }
}
