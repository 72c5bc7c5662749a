using System.Globalization;

namespace Twintail.Bench.Running;

/// <summary>Resident memory of this process, as Linux counts it.</summary>
internal static class ProcessMemory
{
    private const double KiBPerMiB = 1024;

    /// <summary>Resident now, in MiB.</summary>
    public static double ResidentMiB => Read("VmRSS:");

    /// <summary>Highest resident since <see cref="ResetPeak"/>, in MiB.</summary>
    public static double PeakMiB => Read("VmHWM:");

    /// <summary>Starts the peak anew from what is resident now.</summary>
    public static void ResetPeak() => File.WriteAllText("/proc/self/clear_refs", "5");

    private static double Read(string key)
    {
        string line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(key, StringComparison.Ordinal));
        return double.Parse(line[key.Length..].Replace("kB", ""), CultureInfo.InvariantCulture) / KiBPerMiB;
    }
}
