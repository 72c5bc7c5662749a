using System.Diagnostics;
using Twintail.Tests.Interop;

namespace Twintail.Tests.Cli;

/// <summary>
/// The CUDA backend for tests: for the GPU where TWINTAIL_CUDA_PLUGIN names it, else the CPU run of the kernels (native/simt). A backend
/// once loaded stays in its process, and the other tests are to see the machine as it is, so those that want the CPU run get a process of their own.
/// </summary>
internal static class CudaProcess
{
    private const string Variable = "TWINTAIL_CUDA_PLUGIN";
    private const int MostSeconds = 300;

    /// <summary>The backend's file; ignores the test where the CPU run was not built.</summary>
    public static string Plugin()
    {
        string? named = Environment.GetEnvironmentVariable(Variable);
        string? found = File.Exists(named) ? named : Built("libtwintail_cuda_simt.so");
        if (found == null)
        {
            Assert.Ignore("the CUDA backend's CPU run (libtwintail_cuda_simt.so) was not built");
        }

        return found!;
    }

    /// <summary>What the native build left beside this program, or null.</summary>
    public static string? Built(string file)
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder != null; folder = folder.Parent)
        {
            string candidate = Path.Combine(folder.FullName, "build", "release", "lib", file);
            if (File.Exists(candidate))
            {
                return candidate;
            }
        }

        return null;
    }

    /// <summary>
    /// Whether the calling test is to go on: this process has a CUDA device. Where it has none, the test has run in a process that
    /// does when this returns, and has failed if it failed there.
    /// </summary>
    /// <param name="environment">"NAME=value" for the other process.</param>
    public static bool IsHere(params string[] environment)
    {
        BackendReport report = Device.Probe(DeviceKind.Cuda);
        if (report.IsAvailable)
        {
            return true;
        }

        Assert.That(Environment.GetEnvironmentVariable(Variable), Is.Null.Or.Empty, report.Reason);
        string plugin = Plugin(), test = TestContext.CurrentContext.Test.FullName;
        string program = Path.Combine(AppContext.BaseDirectory, "Twintail.Tests");
        string[] command = File.Exists(program) ? [program] : ["dotnet", program + ".dll"];
        using var results = new TemporaryFolder();
        var start = new ProcessStartInfo("env", [
            $"{Variable}={plugin}", .. environment, .. command,
            "--progress", "off", "--no-ansi", "--output", "Detailed", "--results-directory", results.Path, "--filter", "FullyQualifiedName=" + test])
        {
            RedirectStandardOutput = true,
        };
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        if (!process.WaitForExit(TimeSpan.FromSeconds(MostSeconds)))
        {
            process.Kill();
            Assert.Fail($"still running after {MostSeconds} s");
        }

        TestContext.Out.WriteLine(output.Result);
        Assert.That(process.ExitCode, Is.Zero, output.Result);
        Assert.That(output.Result, Does.Contain("succeeded: 1"), "the test, run and not skipped");
        return false;
    }
}
