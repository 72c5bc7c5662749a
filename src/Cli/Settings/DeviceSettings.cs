using System.Globalization;
using Twintail.Cli.Terminal;

namespace Twintail.Cli.Settings;

/// <summary>Where to compute.</summary>
internal static class DeviceSettings
{
    public static readonly Setting Device = new("device", "Where to compute: auto, cpu, cuda or cuda:INDEX [auto].", "NAME");

    /// <summary>Opens the device and says which it is.</summary>
    /// <exception cref="BadArgumentException">There is no such kind.</exception>
    /// <exception cref="NoDeviceException">CUDA was asked for and is not there.</exception>
    public static Twintail.Device Open(SettingValues values, Screen screen)
    {
        string name = values.Get("device") ?? "auto";
        string threadText = values.Get("threads") ?? "0";
        if (!int.TryParse(threadText, NumberStyles.None, CultureInfo.InvariantCulture, out int threads))
        {
            throw new BadArgumentException("threads", "an integer of at least 0", $"'{threadText}'");
        }

        Twintail.Device device = name switch
        {
            "auto" => Twintail.Device.Auto(new DeviceOptions { Threads = threads }),
            "cpu" => Twintail.Device.Cpu(threads),
            "cuda" => Twintail.Device.Cuda(),
            _ when name.StartsWith("cuda:", StringComparison.Ordinal)
                && int.TryParse(name.AsSpan(5), NumberStyles.None, CultureInfo.InvariantCulture, out int index) => Twintail.Device.Cuda(index),
            _ => throw new BadArgumentException("device", "auto, cpu, cuda or cuda:INDEX", $"'{name}'"),
        };
        screen.Note("device: " + Short(device.Reason));
        return device;
    }

    // Every command says which device it took; the whole list of what was tried belongs to doctor.
    private static string Short(string reason)
    {
        int list = reason.IndexOf(": /", StringComparison.Ordinal);
        return list < 0 ? reason : reason[..list] + " (see twintail doctor)";
    }
}
