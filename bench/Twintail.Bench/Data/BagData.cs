namespace Twintail.Bench.Data;

/// <summary>A multi-valued feature of a catalogue: row r has Values[Offsets[r] .. Offsets[r + 1]), ids in [1, Vocabulary); 0 is the default.</summary>
internal sealed record BagFeature(string Name, int Vocabulary, int Dim, long[] Offsets, int[] Values);

/// <summary>A catalogue of multi-valued features, and a batch of its rows.</summary>
internal sealed class BagData
{
    /// <summary>Dimensions of the eight features that the gather is measured with.</summary>
    public static readonly int[] EightDims = [16, 16, 32, 32, 48, 48, 64, 64];

    private BagData(BagFeature[] features, int rows, int[] batch)
    {
        Features = features;
        Rows = rows;
        Batch = batch;
        Width = features.Sum(f => f.Dim);
        Lookups = features.Sum(f => batch.Sum(row => f.Offsets[row + 1] - f.Offsets[row]));
        LookupBytes = features.Sum(f => batch.Sum(row => (f.Offsets[row + 1] - f.Offsets[row]) * f.Dim * sizeof(float)));
    }

    public BagFeature[] Features { get; }

    /// <summary>Rows of the catalogue.</summary>
    public int Rows { get; }

    /// <summary>[n]: the rows to gather.</summary>
    public int[] Batch { get; }

    /// <summary>Sum of the features' dimensions.</summary>
    public int Width { get; }

    /// <summary>Values that the batch reads when nothing is masked.</summary>
    public long Lookups { get; }

    /// <summary>Bytes of the vectors behind them.</summary>
    public long LookupBytes { get; }

    /// <summary>Values of a feature in the batch, and one default for each row of it.</summary>
    public int EntriesWithDefaults(BagFeature feature) =>
        Batch.Length + Batch.Sum(row => (int)(feature.Offsets[row + 1] - feature.Offsets[row]));

    /// <summary>
    /// Features with one embedding table of <paramref name="vocabulary"/> rows each, 1 to 9 values a row (5 in the mean), ids with
    /// a long tail.
    /// </summary>
    public static BagData Create(int[] dims, int vocabulary, int rows, int batch)
    {
        var random = new SplitMix(7);
        var features = new BagFeature[dims.Length];
        for (int f = 0; f < dims.Length; f++)
        {
            var offsets = new long[rows + 1];
            for (int row = 0; row < rows; row++)
            {
                offsets[row + 1] = offsets[row] + 1 + random.Below(9);
            }

            var values = new int[offsets[rows]];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = random.Popular(vocabulary);
            }

            features[f] = new BagFeature($"feature{f}", vocabulary, dims[f], offsets, values);
        }

        var drawn = new int[batch];
        for (int i = 0; i < batch; i++)
        {
            drawn[i] = random.Below(rows);
        }

        return new BagData(features, rows, drawn);
    }
}
