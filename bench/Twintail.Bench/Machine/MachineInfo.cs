using System.Globalization;

namespace Twintail.Bench.Machine;

/// <summary>What the figures were taken on.</summary>
internal static class MachineInfo
{
    /// <summary>The processor's name, or the architecture where the system does not say.</summary>
    public static string Processor => File.Exists("/proc/cpuinfo")
        ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("model name", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "?"
        : System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture.ToString();

    /// <summary>Processes that wanted to run in the last minute; figures taken beside others are worth little.</summary>
    public static double Load => File.Exists("/proc/loadavg")
        ? double.Parse(File.ReadAllText("/proc/loadavg").Split(' ')[0], CultureInfo.InvariantCulture)
        : 0;

    public static string Describe(int threads)
    {
        string warning = Load > 0.7 ? " (the machine is busy: expect noise)" : "";
        return $"{Processor}, {Environment.ProcessorCount} cores, {threads} threads used, load {Load:F2}{warning}";
    }
}
