// Runs test programs, native and managed, and adds up their results.
using System.Collections.Concurrent;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using System.Xml.Linq;

public sealed class TestRun(ICakeContext context, DirectoryPath folder)
{
    /// A program that takes longer hangs.
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(30);

    /// How many processes share a native program's tests, and in how many parts: a part that takes long leaves the others to the rest.
    private static readonly int Processes = Math.Min(Environment.ProcessorCount, 4), Parts = 4 * Processes;

    /// What a failure may print when all are shown once more at the end, and how many are.
    private const int ShownLines = 20, ShownLength = 1500, ShownFailures = 20;

    private readonly List<string> _failures = [];
    private int _passed, _failed, _skipped, _programs;

    public bool HasFailed => _failed > 0;

    public void Clean() => context.CleanDirectory(folder);

    /// A GoogleTest program. `name` tells its runs apart; `environment`: variables as "NAME=value".
    /// `mustMatch`: a filter that leaves no test over is a failure.
    public void RunNative(FilePath program, string name, string filter, string[] environment = null, bool mustMatch = false)
    {
        context.Information($"---- {program.GetFilename()} ({name})");
        var clock = System.Diagnostics.Stopwatch.StartNew();
        // Given from here, so that a failure is shown with it.
        var seed = "TWINTAIL_TEST_SEED=" + (System.Environment.GetEnvironmentVariable("TWINTAIL_TEST_SEED") ?? $"{Random.Shared.Next()}");
        int before = _passed + _failed + _skipped;
        var parts = Partitioner.Create(Enumerable.Range(0, Parts), EnumerablePartitionerOptions.NoBuffering);
        Parallel.ForEach(parts, new ParallelOptions { MaxDegreeOfParallelism = Processes }, part =>
        {
            var results = folder.CombineWithFilePath($"{program.GetFilename()}.{name}.{part}.json");
            var process = Start(program, [.. environment ?? [], seed, $"GTEST_TOTAL_SHARDS={Parts}", $"GTEST_SHARD_INDEX={part}"],
                                $"--gtest_output=json:{results}", $"--gtest_filter={filter}", "--gtest_brief=1");
            var code = End(process, program);
            lock (this) Add($"{program.GetFilename()} ({name}, {seed})", code, results, ReadGoogleTest);
        });
        int tests = _passed + _failed + _skipped - before;
        context.Information($"{program.GetFilename()} ({name}): {tests} tests in {clock.Elapsed.TotalSeconds:F0} s");
        if (mustMatch && tests == 0)
        {
            Fail($"{program.GetFilename()} ({name}): the filter leaves no test over");
        }
    }

    /// An NUnit program on Microsoft.Testing.Platform.
    public void RunManaged(FilePath program, string filter)
    {
        var results = folder.CombineWithFilePath($"{program.GetFilename()}.trx");
        List<string> arguments =
        [
            "--report-trx", "--report-trx-filename", results.GetFilename().ToString(),
            "--results-directory", folder.FullPath, "--progress", "off", "--no-ansi",
        ];
        if (filter.Length > 0) arguments.AddRange(["--filter", filter]);
        Add(program.GetFilename().ToString(), End(Start(program, [], [.. arguments]), program), results, ReadTrx);
    }

    public void ThrowIfFailed()
    {
        if (_programs == 0 || _passed + _failed + _skipped == 0)
        {
            Fail("No test was found.");
        }
        if (HasFailed) throw new CakeException($"{_failed} tests failed.");
    }

    /// What failed, once more where a reader looks first, and the last line of a test run, for people and for programs:
    /// "N passed, N failed[, N skipped]". Both are left in the folder too.
    public void PrintClosingLine()
    {
        if (_programs == 0 && !HasFailed) return;
        if (_failures.Count > 0)
        {
            var shown = string.Join("\n", _failures.Take(ShownFailures));
            if (_failures.Count > ShownFailures) shown += $"\nand {_failures.Count - ShownFailures} more";
            System.IO.File.WriteAllText(folder.CombineWithFilePath("failures.txt").FullPath, shown + "\n");
            Console.Error.WriteLine(shown);
        }
        var line = $"{_passed} passed, {_failed} failed" + (_skipped > 0 ? $", {_skipped} skipped" : "");
        System.IO.File.WriteAllText(folder.CombineWithFilePath("summary.txt").FullPath, line + "\n");
        Console.Error.Flush();
        Console.WriteLine(line);
    }

    private IProcess Start(FilePath program, string[] environment, params string[] arguments)
    {
        Interlocked.Increment(ref _programs);
        var list = new ProcessArgumentBuilder();
        foreach (var argument in arguments) list.AppendQuoted(argument);
        var variables = environment.Select(pair => pair.Split('=', 2)).ToDictionary(pair => pair[0], pair => pair[1]);
        return context.StartAndReturnProcess(program, new ProcessSettings { Arguments = list, EnvironmentVariables = variables });
    }

    private int End(IProcess process, FilePath program)
    {
        using (process)
        {
            if (process.WaitForExit((int)Limit.TotalMilliseconds)) return process.GetExitCode();
            process.Kill();
            Console.Error.WriteLine($"{program.GetFilename()} did not end within {Limit}");
            return -1;
        }
    }

    private void Fail(string what)
    {
        _failed++;
        var lines = what.Split('\n').Select(line => line.TrimEnd()).Where(line => line.Length > 0).Take(ShownLines);
        var text = string.Join("\n    ", lines);
        _failures.Add(text.Length <= ShownLength ? text : text[..ShownLength] + " …");
    }

    /// A program that ends badly without naming a failed test (a crash, or results never written) is one failure.
    private void Add(string run, int code, FilePath results, Func<string, IEnumerable<Outcome>> read)
    {
        var written = System.IO.File.Exists(results.FullPath);
        var outcomes = written ? read(results.FullPath).ToArray() : [];
        var failed = outcomes.Where(outcome => outcome.Failure != null).ToArray();
        foreach (var outcome in failed) Fail($"{run}: {outcome.Test}\n{outcome.Failure}");
        if (failed.Length == 0 && (code != 0 || !written))
        {
            Fail($"{run} ended with exit code {code}" + (written ? " although no test failed" : " and left no results"));
        }
        _skipped += outcomes.Count(outcome => outcome.Skipped);
        _passed += outcomes.Count(outcome => !outcome.Skipped && outcome.Failure == null);
    }

    private sealed record Outcome(string Test, bool Skipped, string Failure);

    private static IEnumerable<Outcome> ReadGoogleTest(string path)
    {
        using var document = JsonDocument.Parse(System.IO.File.ReadAllText(path));
        foreach (var suite in document.RootElement.GetProperty("testsuites").EnumerateArray())
        {
            foreach (var test in suite.GetProperty("testsuite").EnumerateArray())
            {
                if (test.GetProperty("status").GetString() == "NOTRUN") continue; // left out by the filter
                var failure = test.TryGetProperty("failures", out var failures)
                    ? string.Join("\n", failures.EnumerateArray().Select(each => each.GetProperty("failure").GetString()))
                    : null;
                yield return new($"{suite.GetProperty("name")}.{test.GetProperty("name")}",
                                 test.GetProperty("result").GetString() == "SKIPPED", failure);
            }
        }
    }

    private static IEnumerable<Outcome> ReadTrx(string path) =>
        from result in Elements(XDocument.Load(path), "UnitTestResult")
        let outcome = (string)result.Attribute("outcome")
        let skipped = outcome is "NotExecuted" or "Inconclusive"
        let output = new[] { "Message", "StdOut", "StackTrace" }.SelectMany(name => Elements(result, name))
        select new Outcome((string)result.Attribute("testName"), skipped,
                           skipped || outcome == "Passed" ? null : string.Join("\n", output.Select(each => each.Value).Prepend(outcome)));

    private static IEnumerable<XElement> Elements(XContainer from, string name) =>
        from.Descendants().Where(element => element.Name.LocalName == name);
}
