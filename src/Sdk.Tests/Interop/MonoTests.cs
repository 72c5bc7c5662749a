using System.ComponentModel;
using System.Diagnostics;

namespace Twintail.Tests.Interop;

/// <summary>The netstandard2.1 assemblies on Mono, which stands in for Unity's runtime.</summary>
internal sealed class MonoTests
{
    [Test]
    public void TheSmokeProgramRuns()
    {
        string program = Path.Combine(AppContext.BaseDirectory, "mono-smoke");
        Assert.That(Path.Combine(program, "MonoSmoke.dll"), Does.Exist, "built with the tests");
        string? facade = Facade();
        if (facade == null)
        {
            Assert.Ignore("mono's netstandard.dll is not there: run samples/MonoSmoke/install-mono.sh");
        }

        using var folder = new TemporaryFolder();
        foreach (string file in Directory.GetFiles(program))
        {
            File.Copy(file, Path.Combine(folder.Path, Path.GetFileName(file)));
        }

        File.Copy(facade, Path.Combine(folder.Path, "netstandard.dll"), overwrite: true);
        (int code, string output, string errors) = Mono(folder.Path, "MonoSmoke.dll");
        TestContext.Out.WriteLine(output);
        Assert.That(code, Is.Zero, errors);
        Assert.That(output.TrimEnd(), Does.EndWith("ok"));
        Assert.That(output, Does.Contain("live bytes: 0").And.Contain("refused as it should be: positives[0]"));

        // Without the native library the reason must be plain.
        File.Delete(Path.Combine(folder.Path, "libtwintail.so"));
        (code, _, errors) = Mono(folder.Path, "MonoSmoke.dll");
        Assert.That(code, Is.EqualTo(1));
        Assert.That(errors, Does.Contain("NativeLoadException").And.Contain("put the library there").And.Contain(folder.Path));
    }

    private static (int Code, string Output, string Errors) Mono(string folder, string program)
    {
        var start = new ProcessStartInfo("mono", [program])
        {
            WorkingDirectory = folder,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // The variables of this process are meant for .NET, and would let the system find a library that is not beside the program.
        start.Environment.Remove("LD_LIBRARY_PATH");
        try
        {
            using Process process = Process.Start(start)!;
            Task<string> errors = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return (process.ExitCode, output, errors.Result);
        }
        catch (Win32Exception)
        {
            Assert.Ignore("mono is not installed: run samples/MonoSmoke/install-mono.sh");
            throw;
        }
    }

    private static string? Facade()
    {
        const string installed = "/usr/lib/mono/4.5/Facades/netstandard.dll";
        if (File.Exists(installed))
        {
            return installed;
        }

        for (string? folder = AppContext.BaseDirectory; folder != null; folder = Path.GetDirectoryName(folder))
        {
            string extracted = Path.Combine(folder, "artifacts", "toolkit", "mono", "netstandard.dll");
            if (File.Exists(extracted))
            {
                return extracted;
            }
        }

        return null;
    }
}
