using System.Security.Cryptography;
using System.Text;
using Twintail.Features;

namespace Twintail.Storage;

/// <summary>A digest of the data of a training, by which a resumed one recognises them.</summary>
internal static class Fingerprint
{
    /// <summary>Covers ids, columns and the clicks of the splits train and valid, in their order.</summary>
    public static string Of(Dataset dataset)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Add(hash, dataset.Items);
        Add(hash, dataset.Users);
        foreach (string name in new[] { Dataset.Train, Dataset.Valid })
        {
            if (dataset.Splits.TryGetValue(name, out Interactions? clicks))
            {
                Add(hash, name);
                Add(hash, clicks.Users);
                Add(hash, clicks.Items);
                Add(hash, clicks.Timestamps ?? Array.Empty<long>());
            }
        }

        return SafetensorsWriter.Hex(hash.GetHashAndReset());
    }

    private static void Add(IncrementalHash hash, FeatureTable table)
    {
        Add(hash, table.Ids);
        foreach (FeatureColumn column in table.Columns)
        {
            Add(hash, column.Name);
            Add(hash, column.Vocabulary);
            Add(hash, column.Values);
            Add(hash, column.Offsets ?? Array.Empty<long>());
        }
    }

    private static void Add(IncrementalHash hash, string[] texts)
    {
        hash.AppendData(BitConverter.GetBytes(1)); // as an array of one number
        hash.AppendData(BitConverter.GetBytes(texts.Length));
        foreach (string text in texts)
        {
            Add(hash, text);
        }
    }

    // Lengths go in as well, so that ("ab", "c") and ("a", "bc") differ.
    private static void Add(IncrementalHash hash, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        hash.AppendData(BitConverter.GetBytes(bytes.Length));
        hash.AppendData(bytes);
    }

    internal static void Add<T>(IncrementalHash hash, T[] values)
        where T : unmanaged
    {
        hash.AppendData(BitConverter.GetBytes(values.Length));

        // Piece by piece: the bytes of a large array are more than a span or an array of them can have.
        TensorData.Of("", values).Read((bytes, count) => hash.AppendData(bytes, 0, count));
    }
}
