using System.Diagnostics;

namespace Twintail.Tests.Interop;

/// <summary>Compiles small C programs and libraries; tests that need it are skipped where there is no C compiler.</summary>
internal static class Gcc
{
    public static string Library(string folder, string name, string source, params string[] options) =>
        Compile(folder, name, source, ["-shared", "-fPIC", .. options]);

    /// <summary>Compiles and runs a program; its output.</summary>
    public static string Run(string folder, string source, params string[] options)
    {
        string program = Compile(folder, "program", source, options);
        using Process process = Start(program);
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        Assert.That(process.ExitCode, Is.Zero, program);
        return output;
    }

    private static string Compile(string folder, string name, string source, params string[] options)
    {
        string file = Path.Combine(folder, name + ".c");
        string result = Path.Combine(folder, name);
        File.WriteAllText(file, source);
        try
        {
            using Process process = Start("gcc", ["-std=c11", "-Wall", "-Werror", file, "-o", result, .. options]);
            string errors = process.StandardError.ReadToEnd();
            process.WaitForExit();
            Assert.That(process.ExitCode, Is.Zero, errors);
        }
        catch (System.ComponentModel.Win32Exception)
        {
            Assert.Ignore("gcc is not installed");
        }

        return result;
    }

    private static Process Start(string program, params string[] arguments) => Process.Start(
        new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
}

/// <summary>A folder that goes with its test.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("twintail").FullName;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
