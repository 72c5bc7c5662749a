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

    private int _passed, _failed, _skipped, _programs;

    public bool HasFailed => _failed > 0;

    public void Clean() => context.CleanDirectory(folder);

    /// A GoogleTest program. `name` tells its runs apart; `environment`: variables as "NAME=value".
    /// `mustMatch`: a filter that leaves no test over is a failure.
    public void RunNative(FilePath program, string name, string filter, string[] environment = null, bool mustMatch = false)
    {
        context.Information($"---- {program.GetFilename()} ({name})");
        var clock = System.Diagnostics.Stopwatch.StartNew();
        int before = _passed + _failed + _skipped;
        var parts = Partitioner.Create(Enumerable.Range(0, Parts), EnumerablePartitionerOptions.NoBuffering);
        Parallel.ForEach(parts, new ParallelOptions { MaxDegreeOfParallelism = Processes }, part =>
        {
            var results = folder.CombineWithFilePath($"{program.GetFilename()}.{name}.{part}.json");
            var process = Start(program, [.. environment ?? [], $"GTEST_TOTAL_SHARDS={Parts}", $"GTEST_SHARD_INDEX={part}"],
                                $"--gtest_output=json:{results}", $"--gtest_filter={filter}", "--gtest_brief=1");
            var code = End(process, program);
            lock (this) Add(program, code, results, CountGoogleTest);
        });
        int tests = _passed + _failed + _skipped - before;
        context.Information($"{program.GetFilename()} ({name}): {tests} tests in {clock.Elapsed.TotalSeconds:F0} s");
        if (mustMatch && tests == 0)
        {
            Console.Error.WriteLine($"{program.GetFilename()}: the filter leaves no test over");
            _failed++;
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
        Add(program, End(Start(program, [], [.. arguments]), program), results, CountTrx);
    }

    public void ThrowIfFailed()
    {
        if (_programs == 0 || _passed + _failed + _skipped == 0)
        {
            _failed++;
            throw new CakeException("No test was found.");
        }
        if (HasFailed) throw new CakeException($"{_failed} tests failed.");
    }

    /// The last line of a test run, for people and for programs: "N passed, N failed[, N skipped]".
    public void PrintClosingLine()
    {
        if (_programs == 0) return;
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

    /// A program that ends badly without naming a failed test (a crash, or results never written) is one failure.
    private void Add(FilePath program, int code, FilePath results, Func<string, (int, int, int)> count)
    {
        var written = System.IO.File.Exists(results.FullPath);
        var (passed, failed, skipped) = written ? count(results.FullPath) : (0, 0, 0);
        if (failed == 0 && (code != 0 || !written))
        {
            Console.Error.WriteLine($"{program.GetFilename()} ended with exit code {code}"
                + (written ? " although no test failed" : " and left no results"));
            failed = 1;
        }
        if (failed > 0) context.Information($"{program.GetFilename()}: {passed} passed, {failed} failed, {skipped} skipped");
        _passed += passed;
        _failed += failed;
        _skipped += skipped;
    }

    private static (int, int, int) CountGoogleTest(string path)
    {
        using var document = JsonDocument.Parse(System.IO.File.ReadAllText(path));
        int passed = 0, failed = 0, skipped = 0;
        foreach (var suite in document.RootElement.GetProperty("testsuites").EnumerateArray())
        {
            foreach (var test in suite.GetProperty("testsuite").EnumerateArray())
            {
                if (test.TryGetProperty("failures", out _)) failed++;
                else if (test.GetProperty("status").GetString() == "NOTRUN") continue; // left out by the filter
                else if (test.GetProperty("result").GetString() == "SKIPPED") skipped++;
                else passed++;
            }
        }
        return (passed, failed, skipped);
    }

    private static (int, int, int) CountTrx(string path)
    {
        var outcomes = XDocument.Load(path).Descendants().Where(e => e.Name.LocalName == "UnitTestResult")
            .Select(e => (string)e.Attribute("outcome")).ToArray();
        int passed = outcomes.Count(o => o == "Passed");
        int skipped = outcomes.Count(o => o is "NotExecuted" or "Inconclusive");
        return (passed, outcomes.Length - passed - skipped, skipped);
    }
}
