using System.Text;

namespace Twintail.Storage;

/// <summary>A list of texts as two tensors: UTF-8 bytes one after the other, and where each begins.</summary>
internal static class StringTensor
{
    public static IEnumerable<TensorData> Of(string name, IReadOnlyList<string> texts)
    {
        var offsets = new long[texts.Count + 1];
        for (int i = 0; i < texts.Count; i++)
        {
            offsets[i + 1] = offsets[i] + Encoding.UTF8.GetByteCount(texts[i]);
        }

        var bytes = new byte[offsets[^1]];
        for (int i = 0; i < texts.Count; i++)
        {
            Encoding.UTF8.GetBytes(texts[i], 0, texts[i].Length, bytes, (int)offsets[i]);
        }

        yield return TensorData.Of(name + ".bytes", bytes);
        yield return TensorData.Of(name + ".offsets", offsets);
    }

    public static string[] Read(SafetensorsReader file, string name)
    {
        byte[] bytes = file.Read<byte>(name + ".bytes");
        long[] offsets = file.Read<long>(name + ".offsets");
        var texts = new string[Math.Max(0, offsets.Length - 1)];
        for (int i = 0; i < texts.Length; i++)
        {
            if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || offsets[i + 1] > bytes.Length)
            {
                throw file.Corrupt($"{name}.offsets[{i + 1}] is out of range");
            }

            texts[i] = Encoding.UTF8.GetString(bytes, (int)offsets[i], (int)(offsets[i + 1] - offsets[i]));
        }

        return texts;
    }
}
