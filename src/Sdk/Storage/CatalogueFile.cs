using Twintail.Features;

namespace Twintail.Storage;

/// <summary>A <see cref="Catalogue"/> as one safetensors file: ids, vocabularies, CSR columns, histories.</summary>
internal static class CatalogueFile
{
    private const string Format = "twintail-catalogue-1";

    /// <summary>Writes the file.</summary>
    /// <returns>Its digest.</returns>
    public static string Write(AtomicFile files, string path, Catalogue catalogue)
    {
        var tensors = new List<TensorData>();
        Add(tensors, "items", catalogue.Items);
        Add(tensors, "users", catalogue.Users);
        tensors.Add(TensorData.Of("history.offsets", catalogue.HistoryOffsets));
        tensors.Add(TensorData.Of("history.items", catalogue.HistoryItems));
        var metadata = new Dictionary<string, string>
        {
            ["format"] = Format,
            ["items.columns"] = catalogue.Items.Columns.Count.ToString(),
            ["users.columns"] = catalogue.Users.Columns.Count.ToString(),
        };
        string digest = "";
        files.Write(path, stream => digest = SafetensorsWriter.Write(stream, tensors, metadata));
        return digest;
    }

    /// <exception cref="CorruptFileException">The file is damaged or no catalogue.</exception>
    public static Catalogue Read(string path) => Read(path, out _);

    /// <summary>Reads the file and gives its digest, too.</summary>
    /// <exception cref="CorruptFileException">The file is damaged or no catalogue.</exception>
    public static Catalogue Read(string path, out string digest)
    {
        using var file = new SafetensorsReader(path);
        if (!file.Metadata.TryGetValue("format", out string? format) || format != Format)
        {
            throw file.Corrupt($"format '{format}', expected '{Format}'");
        }

        digest = file.Metadata[SafetensorsWriter.DigestKey];
        try
        {
            return new Catalogue(
                ReadTable(file, "items"), ReadTable(file, "users"), file.Read<long>("history.offsets"), file.Read<int>("history.items"));
        }
        catch (ArgumentException e)
        {
            throw file.Corrupt(e.Message, e);
        }
    }

    /// <summary>The digest of a file that is there.</summary>
    /// <exception cref="CorruptFileException">The file is damaged.</exception>
    public static string Digest(string path)
    {
        using var file = new SafetensorsReader(path);
        return file.Metadata[SafetensorsWriter.DigestKey];
    }

    private static void Add(List<TensorData> tensors, string prefix, FeatureTable table)
    {
        tensors.AddRange(StringTensor.Of(prefix + ".ids", table.Ids));
        tensors.AddRange(StringTensor.Of(prefix + ".names", table.Columns.Select(x => x.Name).ToArray()));
        for (int c = 0; c < table.Columns.Count; c++)
        {
            FeatureColumn column = table.Columns[c];
            string name = $"{prefix}.{c}";
            tensors.AddRange(StringTensor.Of(name + ".vocabulary", column.Vocabulary));
            tensors.Add(TensorData.Of(name + ".values", column.Values));
            if (column.Offsets != null)
            {
                tensors.Add(TensorData.Of(name + ".offsets", column.Offsets));
            }

            if (column.BucketEdges != null)
            {
                tensors.Add(TensorData.Of(name + ".edges", column.BucketEdges));
            }
        }
    }

    private static FeatureTable ReadTable(SafetensorsReader file, string prefix)
    {
        string[] names = StringTensor.Read(file, prefix + ".names");
        var columns = new FeatureColumn[names.Length];
        for (int c = 0; c < names.Length; c++)
        {
            string name = $"{prefix}.{c}";
            columns[c] = new FeatureColumn(
                names[c],
                StringTensor.Read(file, name + ".vocabulary"),
                file.Read<int>(name + ".values"),
                file.Contains(name + ".offsets") ? file.Read<long>(name + ".offsets") : null,
                file.Contains(name + ".edges") ? file.Read<double>(name + ".edges") : null);
        }

        return new FeatureTable(StringTensor.Read(file, prefix + ".ids"), columns);
    }
}
