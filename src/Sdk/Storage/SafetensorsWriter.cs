using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Twintail.Storage;

/// <summary>
/// Writes tensors in the safetensors format: an unsigned 64-bit length, a JSON header {name: {dtype, shape, data_offsets}}, the
/// data. The header's "__metadata__" has texts, and one of them, "sha256", is the digest of header (with this digest as zeros)
/// and data, so that a damaged file is told from a whole one.
/// </summary>
internal static class SafetensorsWriter
{
    internal const string DigestKey = "sha256";
    internal static readonly string NoDigest = new('0', 64);

    /// <summary>Writes a file.</summary>
    /// <returns>Its digest.</returns>
    /// <exception cref="BadArgumentException">Two tensors have the same name; nothing has been written then.</exception>
    public static string Write(Stream stream, IReadOnlyList<TensorData> tensors, IReadOnlyDictionary<string, string>? metadata = null)
    {
        byte[] blank = Header(tensors, metadata, NoDigest);
        string digest = Digest(blank, tensors);
        byte[] header = Header(tensors, metadata, digest);
        stream.Write(Length(header.Length), 0, 8);
        stream.Write(header, 0, header.Length);
        foreach (TensorData tensor in tensors)
        {
            tensor.Read((bytes, count) => stream.Write(bytes, 0, count));
        }

        return digest;
    }

    internal static string Hex(byte[] bytes)
    {
        var text = new StringBuilder(2 * bytes.Length);
        foreach (byte b in bytes)
        {
            text.Append(b.ToString("x2", CultureInfo.InvariantCulture));
        }

        return text.ToString();
    }

    private static string Digest(byte[] header, IReadOnlyList<TensorData> tensors)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        hash.AppendData(header);
        foreach (TensorData tensor in tensors)
        {
            tensor.Read((bytes, count) => hash.AppendData(bytes, 0, count));
        }

        return Hex(hash.GetHashAndReset());
    }

    private static byte[] Header(IReadOnlyList<TensorData> tensors, IReadOnlyDictionary<string, string>? metadata, string digest)
    {
        var texts = new JsonObject { [DigestKey] = digest };
        foreach (KeyValuePair<string, string> entry in metadata ?? new Dictionary<string, string>())
        {
            texts[entry.Key] = entry.Value;
        }

        var json = new JsonObject { ["__metadata__"] = texts };
        long offset = 0;
        foreach (TensorData tensor in tensors)
        {
            if (json.Contains(tensor.Name))
            {
                throw new BadArgumentException("tensors", "names that differ", $"'{tensor.Name}' twice");
            }

            json[tensor.Name] = new JsonObject
            {
                ["dtype"] = tensor.Type,
                ["shape"] = tensor.Shape,
                ["data_offsets"] = new[] { offset, offset + tensor.Bytes },
            };
            offset += tensor.Bytes;
        }

        // Padded with spaces, as the format allows, so that the data are aligned for whoever maps the file.
        string text = JsonText.Write(json, indented: false);
        int bytes = Encoding.UTF8.GetByteCount(text);
        return Encoding.UTF8.GetBytes(text + new string(' ', (8 - (bytes % 8)) % 8));
    }

    private static byte[] Length(long value)
    {
        var bytes = new byte[8];
        for (int i = 0; i < 8; i++)
        {
            bytes[i] = (byte)(value >> (8 * i));
        }

        return bytes;
    }
}
