using System.CommandLine;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Spectre.Console;
using Twintail.Cli.Reports;
using Twintail.Cli.Terminal;
using Twintail.Data;
using Twintail.Interop;

namespace Twintail.Cli.Commands;

/// <summary>twintail doctor: what is installed, what was found, and why something was not.</summary>
internal sealed class DoctorCommand
{
    public Command Create()
    {
        var command = new Command("doctor", "Shows versions, instruction sets, threads and backends, and what is wrong with them.");
        command.SetAction(Run);
        return command;
    }

    private static int Run(ParseResult parsed)
    {
        Screen screen = CommandTree.Screen(parsed);
        var facts = new List<(string Key, string Name, JsonNode? Value)>
        {
            ("twintail", "Twintail", Version()),
            ("runtime", ".NET", RuntimeInformation.FrameworkDescription),
            ("system", "system", $"{RuntimeInformation.OSDescription}, {RuntimeInformation.OSArchitecture}"),
            ("cores", "cores of the process", Environment.ProcessorCount),
            ("memory_mib", "memory (MiB)", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20),
        };
        bool works = Native(facts);
        facts.Add(("duckdb", "DuckDB", Try(() => DatasetReader.EngineVersion)));
        facts.Add(("plots", "plots", Try(() => Plots.HasFont ? "ready" : "no font is installed (Debian: apt-get install fonts-dejavu-core)")));
        Table table = Tables.Create(null, "what", "found");
        table.Columns[1].LeftAligned();
        foreach ((_, string name, JsonNode? value) in facts)
        {
            table.Row(name, value is JsonArray list ? string.Join("\n", list.Select(v => v!.ToString())) : value?.ToString() ?? "");
        }

        screen.Show(table);
        screen.ShowJson(() => new JsonObject(facts.Select(f => KeyValuePair.Create(f.Key, f.Value?.DeepClone()))) { ["works"] = works });
        return works ? 0 : Failures.Error;
    }

    private static bool Native(List<(string Key, string Name, JsonNode? Value)> facts)
    {
        try
        {
            facts.Add(("native", "native library", $"{TwintailLibrary.Version}, {TwintailLibrary.Attempts.LastOrDefault()?.Path}"));
            facts.Add(("instruction_sets", "instruction sets", string.Join(", ", Twintail.Device.AvailableIsas).ToLowerInvariant()));
            using Twintail.Device cpu = Twintail.Device.Cpu();
            facts.Add(("cpu", "CPU backend", $"{cpu.Info}{(cpu.Info.HasBfloat16 ? ", with bfloat16" : "")}"));
            BackendReport cuda = Twintail.Device.Probe(DeviceKind.Cuda);
            facts.Add(("cuda", "CUDA backend", cuda.IsAvailable ? $"{cuda.DeviceCount} devices, {cuda.Path}{(cuda.IsConfirmed ? "" : " (no GPU has run its tests yet: ask for it with --device cuda)")}" : "not available"));
            facts.Add(("cuda_reason", "CUDA, why", cuda.Reason.Replace("\n", "; ", StringComparison.Ordinal)));
            facts.Add(("cuda_devices", "CUDA devices", CudaDevices(cuda)));
            return true;
        }
        catch (NativeLoadException error)
        {
            facts.Add(("native", "native library", "cannot be loaded"));
            facts.Add(("native_attempts", "tried", new JsonArray([.. error.Attempts.Select(a => JsonValue.Create(a.ToString()))])));
        }
        catch (Exception error) when (error is TwintailException or BadArgumentException)
        {
            facts.Add(("native_error", "native library", error.Message));
        }

        return false;
    }

    private static JsonArray CudaDevices(BackendReport cuda)
    {
        var devices = new JsonArray();
        for (int i = 0; cuda.IsAvailable && i < cuda.DeviceCount; i++)
        {
            int index = i;
            devices.Add(Try(() =>
            {
                using Twintail.Device device = Twintail.Device.Cuda(index);
                return device.Info.ToString();
            }));
        }

        return devices;
    }

    // One broken part must not keep the others from being shown.
    private static string Try(Func<string> fact)
    {
        try
        {
            return fact();
        }
        catch (Exception error) when (error is not OutOfMemoryException)
        {
            return $"broken: {error.GetBaseException().Message}";
        }
    }

    private static string Version() =>
        typeof(DoctorCommand).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";
}
