// The one entry to building, testing and running Twintail: ./build.sh --target=NAME
// Targets: Build (default), Test, Demo, Format, Bindings, Bench, Pack, Cuda, Clean.
#load "build/prerequisites.cake"
#load "build/tests.cake"

var target = Argument("target", "Build");
var configuration = Argument("configuration", "Release");

var artifacts = MakeAbsolute(Directory("artifacts"));
var nativeOutput = artifacts.Combine("native");
var managedOutput = artifacts.Combine("managed/bin");
var cli = artifacts.CombineWithFilePath("twintail/twintail");
var tests = new TestRun(Context, artifacts.Combine("test-results"));

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

/// One of the presets of CMakePresets.json.
void BuildNative(string preset)
{
    Run("cmake", "--preset", preset, $"-DTWINTAIL_TESTS={(Prerequisites.CanTest(Context) ? "ON" : "OFF")}");
    Run("cmake", "--build", NativeBuild(preset).FullPath, "--parallel", Environment.ProcessorCount.ToString());
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
    .Description("Builds and runs every test; --filter and --gtest_filter choose some, --sanitize adds sanitizer runs.")
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
    foreach (var preset in HasArgument("sanitize") ? new[] { "asan", "tsan" } : [])
    {
        BuildNative(preset);
        RunNativeTests(preset);
    }
    tests.ThrowIfFailed();
});

void RunNativeTests(string preset)
{
    foreach (var program in GetFiles($"{NativeBuild(preset)}/bin/*_tests"))
    {
        tests.RunNative(program, preset, Argument("gtest_filter", "*"));
    }
}

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
    .Description("Installs a CUDA compiler into artifacts where there is none, then builds all native code.")
    .IsDependentOn("CudaToolkit")
    .IsDependentOn("Native");

Task("CudaToolkit")
    .IsDependentOn("Prerequisites")
    .WithCriteria(ctx => ctx.Tools.Resolve("nvcc") is null && !ctx.HasEnvironmentVariable("CUDACXX"), "nvcc is there")
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
