// The one entry to building, testing and running Twintail: ./build.sh --target=NAME
// Targets: Build (default), Test, Simt, Sanitize, Cuda, Demo, Format, Bindings, Bench, Pack, Clean.
#load "build/prerequisites.cake"
#load "build/tests.cake"
#load "build/simt.cake"

var target = Argument("target", "Build");
var configuration = Argument("configuration", "Release");

var artifacts = MakeAbsolute(Directory("artifacts"));
var nativeOutput = artifacts.Combine("native");
var managedOutput = artifacts.Combine("managed/bin");
var cli = artifacts.CombineWithFilePath("twintail/twintail");
var tests = new TestRun(Context, artifacts.Combine($"test-results/{target.ToLowerInvariant()}"));

const string Solution = "Twintail.slnx";

/// Runs a program to its end; whatever it prints goes straight to the console.
void Run(string program, params string[] arguments)
{
    var list = new ProcessArgumentBuilder();
    foreach (var argument in arguments) list.AppendQuoted(argument);
    var code = StartProcess(program, new ProcessSettings { Arguments = list });
    if (code != 0) throw new CakeException($"{program} {string.Join(' ', arguments.Take(4))}: exit code {code}");
}

string ManagedProgram(string name) => managedOutput.CombineWithFilePath($"{name}/release_linux-x64/{name}").FullPath;

// ---- prerequisites

Task("Prerequisites")
    .Description("Installs the compilers and libraries of a build (root on Debian or Ubuntu), else names them.")
    .Does(() => Prerequisites.Ensure(Context, Prerequisites.ToBuild));

Task("TestPrerequisites")
    .Does(() =>
{
    Prerequisites.Ensure(Context, Prerequisites.ToBuild.Concat(Prerequisites.ToTest));
    Prerequisites.EnsureMono(Context, artifacts.Combine("toolkit"));
});

Task("FormatPrerequisites")
    .Does(() => Prerequisites.Ensure(Context, Prerequisites.ToFormat));

Task("DemoPrerequisites")
    .Does(() => Prerequisites.Ensure(Context, Prerequisites.ToBuild.Concat(Prerequisites.ToPlot)));

// ---- build

Task("Native")
    .Description("Builds libtwintail.so and the native tests and benches.")
    .IsDependentOn("Prerequisites")
    .Does(() =>
{
    BuildNative("release");
    EnsureDirectoryExists(nativeOutput);
    foreach (var library in GetFiles($"{NativeBuild("release")}/lib/libtwintail*.so"))
    {
        ReplaceFile(library, nativeOutput.CombineWithFilePath(library.GetFilename()));
    }
});

DirectoryPath NativeBuild(string preset) => artifacts.Combine($"build/{preset}");

/// One of the presets of CMakePresets.json; all of it, or the named targets. --cuda-architectures="80;90a"
/// builds the CUDA backend for these alone, instead of all that the compiler knows.
void BuildNative(string preset, params string[] targets)
{
    List<string> options = ["--preset", preset, $"-DTWINTAIL_TESTS={(Prerequisites.CanTest(Context) ? "ON" : "OFF")}"];
    if (HasArgument("cuda-architectures")) options.Add($"-DTWINTAIL_CUDA_ARCHITECTURES={Argument<string>("cuda-architectures")}");
    Run("cmake", [.. options]);
    Run("cmake", ["--build", NativeBuild(preset).FullPath, "--parallel", Environment.ProcessorCount.ToString(),
                  .. targets.SelectMany(name => new[] { "--target", name })]);
}

/// Copies by way of a new file, so that a program that runs with the old one keeps it whole.
void ReplaceFile(FilePath from, FilePath to)
{
    if (System.IO.File.Exists(to.FullPath)
        && System.IO.File.GetLastWriteTimeUtc(from.FullPath) == System.IO.File.GetLastWriteTimeUtc(to.FullPath))
    {
        return;
    }
    System.IO.File.Copy(from.FullPath, to.FullPath + ".new", overwrite: true);
    System.IO.File.Move(to.FullPath + ".new", to.FullPath, overwrite: true);
}

Task("Managed")
    .Description("Builds every C# project.")
    .IsDependentOn("Native")
    .Does(() => Run("dotnet", "build", Solution, "-c", configuration, "-v", "quiet", $"-m:{Environment.ProcessorCount}"));

Task("Cli")
    .Description("Publishes the command line program to artifacts/twintail.")
    .IsDependentOn("Managed")
    .Does(() =>
{
    Run("dotnet", "publish", "src/Cli/Twintail.Cli.csproj", "-c", configuration, "-v", "quiet",
        "-r", "linux-x64", "--self-contained", "false", "-o", cli.GetDirectory().FullPath);
    Information($"The command line program is {cli}");
});

Task("Build")
    .Description("Builds everything.")
    .IsDependentOn("Cli");

// ---- check

Task("Test")
    .Description("Builds and runs every test; --filter and --gtest_filter choose some.")
    .IsDependentOn("TestPrerequisites")
    .IsDependentOn("Build")
    .Does(() =>
{
    tests.Clean();
    RunNativeTests("release");
    foreach (var project in GetFiles("src/**/*.Tests.csproj"))
    {
        tests.RunManaged(ManagedProgram(project.GetFilenameWithoutExtension().ToString()), Argument("filter", ""));
    }
    tests.ThrowIfFailed();
});

void RunNativeTests(string preset, string leaveOut = "")
{
    var filter = Argument("gtest_filter", "*") + (leaveOut.Length > 0 && !Argument("gtest_filter", "*").Contains('-') ? $"-{leaveOut}" : "");
    foreach (var program in GetFiles($"{NativeBuild(preset)}/bin/*_tests"))
    {
        tests.RunNative(program, preset, filter);
    }
}

Task("Simt")
    .Description("Runs the CUDA kernels on the CPU: checked and plain, each under several schedules (--seeds=4).")
    .IsDependentOn("TestPrerequisites")
    .IsDependentOn("Native")
    .Does(() =>
{
    tests.Clean();
    var simt = new SimtRun(Context, tests, Argument("gtest_filter", "*"));
    BuildNative("simt-plain", simt.Targets);
    simt.RunOps(NativeBuild("release"), NativeBuild("release"), "checked", seed: 0);
    for (var seed = 0; seed < Argument("seeds", 4); seed++)
    {
        simt.RunMachine(NativeBuild("simt-plain"), "plain", seed);
        // Devices differ in shared memory, in engines and in how tensor cores sum.
        simt.RunOps(NativeBuild("release"), NativeBuild("simt-plain"), "plain", seed, capability: new[] { 80, 75, 86, 90 }[seed % 4]);
    }
    tests.ThrowIfFailed();
});

Task("Sanitize")
    .Description("Runs the native tests, those on the CUDA kernels' CPU run too, under sanitizers (--presets=asan,tsan).")
    .IsDependentOn("TestPrerequisites")
    .Does(() =>
{
    tests.Clean();
    var simt = new SimtRun(Context, tests, Argument("gtest_filter", "*"));
    foreach (var preset in Argument("presets", "asan,tsan").Split(','))
    {
        BuildNative(preset);
        // This one forks a process with threads and makes threads in the child, which ThreadSanitizer cannot follow.
        RunNativeTests(preset, leaveOut: preset == "tsan" ? "Threads.ForkedChildCanWork" : "");
        simt.RunOps(NativeBuild(preset), NativeBuild(preset), preset, seed: 3);
    }
    tests.ThrowIfFailed();
});

Task("Bindings")
    .Description("Checks that the P/Invoke declarations are what twintail.h says.")
    .IsDependentOn("TestPrerequisites")
    .Does(() => Run("dotnet", "run", "--project", "tools/BindGen/Twintail.BindGen.csproj", "-c", configuration,
                    "--", "--check"));

Task("Format")
    .Description("Checks the layout of all sources; --fix changes them.")
    .IsDependentOn("FormatPrerequisites")
    .Does(() =>
{
    var fix = HasArgument("fix");
    var sources = GetFiles("native/**/*.{cpp,hpp,h,c,inl,cu,cuh}").Select(f => f.FullPath);
    Run(Prerequisites.ClangFormat(Context),
        (fix ? new[] { "-i" } : ["--dry-run", "-Werror"]).Concat(sources).ToArray());
    Run("dotnet", ["format", Solution, .. fix ? Array.Empty<string>() : ["--verify-no-changes"]]);
});

// ---- use

Task("Demo")
    .Description("Trains three models on a synthetic long-tail catalogue and compares them.")
    .IsDependentOn("DemoPrerequisites")
    .IsDependentOn("Build")
    .Does(() => Run(cli.FullPath, "demo", "--out", artifacts.Combine("demo").FullPath));

Task("Bench")
    .Description("Runs the benches; --quick takes under three minutes, --growth plots time against size.")
    .IsDependentOn("Build")
    .Does(() => Run(ManagedProgram("Twintail.Bench"), new[] { "quick", "growth" }.Where(HasArgument).Select(name => $"--{name}").ToArray()));

Task("Pack")
    .Description("Makes the NuGet packages in artifacts/packages.")
    .IsDependentOn("Build")
    .Does(() => Run("dotnet", "pack", Solution, "-c", configuration, "-v", "quiet", "--no-build",
                    "-o", artifacts.Combine("packages").FullPath));

Task("Cuda")
    .Description("Installs a CUDA compiler into artifacts where there is none, builds all native code, and reports what "
        + "registers and memory each kernel takes; spills in a tuned kernel are an error.")
    .IsDependentOn("CudaToolkit")
    .IsDependentOn("Native")
    .Does(() =>
{
    var library = NativeBuild("release").CombineWithFilePath("lib/libtwintail_cuda.so");
    var proof = NativeBuild("release").CombineWithFilePath("lib/libtwintail_cuda_toolchain.so");
    if (!FileExists(library) && !FileExists(proof))
    {
        throw new CakeException("No CUDA code was built: CMake found no CUDA compiler (see its output above).");
    }
    foreach (var file in new[] { library, proof }.Where(f => FileExists(f)))
    {
        Information($"---- {file.GetFilename()}");
        Run("bash", "native/cuda/report-resources.sh", file.FullPath, HotKernels, "hopper_pass=168");
        if (StartProcess("bash", $"native/cuda/report-waits.sh {file.FullPath.Quote()}") == 0) continue;
        // A compiler of the user's own may be one that puts waits in: the kernels are slower then, and right.
        if (HasOwnToolkit(Context)) throw new CakeException($"{file.GetFilename()}: wgmma kernels wait for more than hopper.cu says.");
        Warning($"{file.GetFilename()}: this CUDA compiler makes the wgmma kernels wait for products before their exponentials.");
    }
});

/// The kernels that must keep everything in registers: whatever has a namespace `tuned` or a name that begins with tuned_, those of
/// sm_90a, and those of pair counts, whose divisions once made them spill.
const string HotKernels = @"(^|[^A-Za-z0-9_])tuned(_|::)|hopper_pass|pairs_kernel|cells_kernel|put_kernel";

/// Whether the toolkit that the build installs is the one in use: there is no other, or only one that is too old.
bool HasOwnToolkit(ICakeContext context)
{
    if (context.HasEnvironmentVariable("CUDACXX")) return false;
    FilePath installed = context.Tools.Resolve("nvcc") ?? "/usr/local/cuda/bin/nvcc";
    if (!context.FileExists(installed)) return true;
    context.StartProcess(installed, new ProcessSettings { Arguments = "--version", RedirectStandardOutput = true }, out var lines);
    var release = System.Text.RegularExpressions.Regex.Match(string.Join("\n", lines), @"release (\d+\.\d+)");
    return !release.Success || Version.Parse(release.Groups[1].Value) < new Version(12, 4);
}

Task("CudaToolkit")
    .IsDependentOn("Prerequisites")
    .WithCriteria(HasOwnToolkit, "a CUDA compiler is there")
    .Does(() => Run("bash", "native/cuda/install-toolkit.sh"));

Task("Clean")
    .Description("Removes everything that a build made, except installed toolkits.")
    .Does(() =>
{
    foreach (var name in new[] { "build", "managed", "native", "packages", "test-results", "twintail", "bench", "demo" })
    {
        var folder = artifacts.Combine(name);
        if (DirectoryExists(folder)) DeleteDirectory(folder, new() { Recursive = true, Force = true });
    }
});

// The count of tests is the last line, after Cake's own report.
try
{
    RunTarget(target);
    tests.PrintClosingLine();
}
catch (Exception exception) when (tests.HasFailed)
{
    Console.Error.WriteLine(exception.Message);
    tests.PrintClosingLine();
    Environment.Exit(1);
}
