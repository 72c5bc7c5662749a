// What a target needs from the system, how to see that it is there, and the Debian package that brings it.

public sealed record Prerequisite(string Package, string What, Func<ICakeContext, bool> IsThere)
{
    public static Prerequisite Program(string package, params string[] names) => new(
        package, $"the program {names[0]}", context => names.Any(name => context.Tools.Resolve(name) is not null));

    public static Prerequisite File(string package, params string[] patterns) => new(
        package, patterns[0], context => patterns.Any(pattern => context.GetFiles(pattern).Any()));
}

public static class Prerequisites
{
    private static readonly Prerequisite GoogleTest =
        Prerequisite.File("libgtest-dev", "/usr/include/gtest/gtest.h", "/usr/local/include/gtest/gtest.h");

    public static readonly Prerequisite[] ToBuild =
    [
        Prerequisite.Program("g++", "g++", "c++"),
        Prerequisite.Program("cmake", "cmake"),
        Prerequisite.Program("ninja-build", "ninja"),
        IsDebian
            ? Prerequisite.File("libopenblas-serial-dev", "/usr/lib/*/openblas-serial/libopenblas.a")
            : Prerequisite.File("libopenblas-serial-dev", "/usr/include/**/cblas.h", "/usr/local/include/**/cblas.h"),
    ];

    public static readonly Prerequisite[] ToTest =
    [
        GoogleTest,
        Prerequisite.Program("clang-14", "clang-14", "clang"),
    ];

    public static readonly Prerequisite[] ToFormat = [Prerequisite.Program("clang-format-14", "clang-format-14")];

    /// Plots carry text: some font must be there.
    public static readonly Prerequisite[] ToPlot =
        [Prerequisite.File("fonts-dejavu-core", "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")];

    public static bool CanTest(ICakeContext context) => GoogleTest.IsThere(context);

    public static string ClangFormat(ICakeContext context) => context.Tools.Resolve("clang-format-14").FullPath;

    /// Installs what is missing with apt where that is possible, else stops and names it.
    public static void Ensure(ICakeContext context, IEnumerable<Prerequisite> wanted)
    {
        var missing = wanted.Where(p => !p.IsThere(context)).ToArray();
        if (missing.Length == 0) return;

        var packages = string.Join(' ', missing.Select(p => p.Package));
        if (!CanInstall)
        {
            throw new CakeException($"Missing: {string.Join(", ", missing.Select(p => p.What))}. "
                + (IsDebian ? $"Install as root: apt-get install {packages}"
                            : $"On Debian and Ubuntu these are the packages {packages}; here, install what is alike."));
        }
        context.Information($"Installing {packages}");
        Apt(context, "update -qq");
        Apt(context, $"install -y -qq --no-install-recommends {packages}");

        var still = missing.Where(p => !p.IsThere(context)).Select(p => p.What).ToArray();
        if (still.Length > 0) throw new CakeException($"After apt-get install {packages} still missing: {string.Join(", ", still)}");
    }

    /// What the test on Mono needs. It is skipped where this is missing and cannot be installed.
    public static void EnsureMono(ICakeContext context, DirectoryPath toolkit)
    {
        var facade = new[] { "/usr/lib/mono/4.5/Facades/netstandard.dll", $"{toolkit}/mono/netstandard.dll" };
        var isThere = context.Tools.Resolve("mono") is not null && facade.Any(System.IO.File.Exists);
        if (isThere || !CanInstall) return;

        Apt(context, "update -qq");
        var code = context.StartProcess("bash", "samples/MonoSmoke/install-mono.sh");
        if (code != 0) throw new CakeException($"samples/MonoSmoke/install-mono.sh: exit code {code}");
    }

    private static bool CanInstall => IsDebian && Environment.UserName == "root";

    private static bool IsDebian => System.IO.File.Exists("/usr/bin/apt-get");

    private static void Apt(ICakeContext context, string arguments)
    {
        var settings = new ProcessSettings
        {
            Arguments = "-o DPkg::Lock::Timeout=300 " + arguments,
            EnvironmentVariables = new Dictionary<string, string> { ["DEBIAN_FRONTEND"] = "noninteractive" },
        };
        var code = context.StartProcess("apt-get", settings);
        if (code != 0) throw new CakeException($"apt-get {arguments}: exit code {code}");
    }
}
