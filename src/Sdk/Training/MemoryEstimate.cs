using System.Globalization;
using Twintail.Features;

namespace Twintail.Training;

/// <summary>A part of a <see cref="MemoryEstimate"/>.</summary>
public sealed class MemoryPart
{
    internal MemoryPart(string name, long bytes, string remedy)
    {
        Name = name;
        Bytes = bytes;
        Remedy = remedy;
    }

    /// <summary>What it holds: "tables", "optimiser" (of the tables), "towers" (with their optimiser), "data", "batch", "workspace" or "evaluation".</summary>
    public string Name { get; }

    /// <summary>Bytes on the device.</summary>
    public long Bytes { get; }

    /// <summary>The options to change where it is too much, as on the command line: "--id-dimension, --feature-dimension".</summary>
    public string Remedy { get; }
}

/// <summary>
/// Memory that a training takes on its device, estimated from data and options before anything is allocated. Arrays are counted
/// exactly; the workspace of the kernels is what their layouts need for batches of typical rows (on a GPU: for the batches for which
/// memory is reserved), so that the sum is right within some tens of percent. What the process holds besides, above all the data set,
/// is no part of it.
/// </summary>
public sealed class MemoryEstimate
{
    internal MemoryEstimate(IReadOnlyList<MemoryPart> parts, long freeBytes)
    {
        Parts = parts;
        Bytes = parts.Sum(part => part.Bytes);
        FreeBytes = freeBytes;
    }

    /// <summary>What the memory is for.</summary>
    public IReadOnlyList<MemoryPart> Parts { get; }

    /// <summary>The sum of the parts: about what the device holds at its fullest.</summary>
    public long Bytes { get; }

    /// <summary>What the device had free when the estimate was made; -1 where the system does not say.</summary>
    public long FreeBytes { get; }

    /// <summary>Whether it is more than is free.</summary>
    public bool IsTooMuch => FreeBytes >= 0 && Bytes > FreeBytes;

    /// <summary>Estimates a training as <see cref="Trainer"/> would run it.</summary>
    /// <param name="device">Where to compute.</param>
    /// <param name="dataset">Needs a split "train".</param>
    /// <param name="options">Checked here.</param>
    /// <exception cref="BadArgumentException">An option is out of range, or the data set has no training clicks.</exception>
    public static MemoryEstimate Of(Device device, Dataset dataset, TrainingOptions options)
    {
        options.Validate();
        if (!dataset.Splits.TryGetValue(Dataset.Train, out Interactions? train) || train.Count == 0)
        {
            throw new BadArgumentException("dataset", "clicks in the split 'train'", "none");
        }

        bool evaluates = dataset.Splits.TryGetValue(Dataset.Valid, out Interactions? valid) && valid.Count > 0;
        var shape = new TrainingShape(Catalogue.FromDataset(dataset), options);
        long free = device.FreeBytes;
        return new MemoryEstimate(MemoryParts.Of(shape, device, free, evaluates), free);
    }

    /// <summary>Throws if it is more than is free; names the largest part and the options that make it smaller.</summary>
    /// <exception cref="DeviceOutOfMemoryException">It is.</exception>
    public void Check()
    {
        if (!IsTooMuch)
        {
            return;
        }

        MemoryPart largest = Parts.OrderByDescending(part => part.Bytes).First();
        throw new DeviceOutOfMemoryException(
            $"the training would take about {Text(Bytes)} of memory, and {Text(FreeBytes)} are free; the largest part is "
            + $"'{largest.Name}' with {Text(largest.Bytes)}: change {largest.Remedy}",
            Bytes,
            FreeBytes);
    }

    /// <summary>For example "about 1.9 GiB (tables 1.2 GiB, optimiser 300 MiB, batch 400 MiB); 12.0 GiB free": parts below a hundredth are left out.</summary>
    public override string ToString()
    {
        IEnumerable<string> parts = Parts.Where(part => part.Bytes * 100 >= Bytes).OrderByDescending(part => part.Bytes)
            .Select(part => $"{part.Name} {Text(part.Bytes)}");
        string free = FreeBytes < 0 ? "" : $"; {Text(FreeBytes)} free";
        return $"about {Text(Bytes)} ({string.Join(", ", parts)}){free}";
    }

    private static string Text(long bytes)
    {
        string[] units = { "KiB", "MiB", "GiB", "TiB", "PiB" };
        double value = bytes / 1024.0;
        int unit = 0;
        while (value >= 1000 && unit + 1 < units.Length)
        {
            value /= 1024;
            unit++;
        }

        return value.ToString(value < 10 ? "F1" : "F0", CultureInfo.InvariantCulture) + " " + units[unit];
    }
}
