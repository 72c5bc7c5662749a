using System.Text;

namespace Twintail.Storage;

/// <summary>
/// A list of texts as two tensors: UTF-8 bytes one after the other, and where each begins. The bytes may be more than an array holds, so
/// that they are written and read piece by piece.
/// </summary>
internal static class StringTensor
{
    public static IEnumerable<TensorData> Of(string name, IReadOnlyList<string> texts)
    {
        var offsets = new long[texts.Count + 1];
        for (int i = 0; i < texts.Count; i++)
        {
            offsets[i + 1] = offsets[i] + Encoding.UTF8.GetByteCount(texts[i]);
        }

        yield return new TextBytes(name + ".bytes", texts, offsets[^1]);
        yield return TensorData.Of(name + ".offsets", offsets);
    }

    public static string[] Read(SafetensorsReader file, string name)
    {
        long[] offsets = file.Read<long>(name + ".offsets");
        long bytes = file.Bytes(name + ".bytes");
        var texts = new string[Math.Max(0, offsets.Length - 1)];
        var buffer = new byte[1 << 12];
        for (int i = 0; i < texts.Length; i++)
        {
            if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || offsets[i + 1] > bytes || offsets[i + 1] - offsets[i] > int.MaxValue)
            {
                throw file.Corrupt($"{name}.offsets[{i + 1}] is out of range");
            }

            int count = (int)(offsets[i + 1] - offsets[i]);
            buffer = count <= buffer.Length ? buffer : new byte[count];
            file.ReadBytes(name + ".bytes", offsets[i], buffer, count);
            texts[i] = Encoding.UTF8.GetString(buffer, 0, count);
        }

        return texts;
    }

    private sealed class TextBytes : TensorData
    {
        private readonly IReadOnlyList<string> _texts;

        public TextBytes(string name, IReadOnlyList<string> texts, long bytes)
            : base(name, TypeName<byte>(), new[] { bytes }, bytes) => _texts = texts;

        public override void Read(Action<byte[], int> piece)
        {
            var buffer = new byte[1 << 20];
            int filled = 0;
            foreach (string text in _texts)
            {
                int count = Encoding.UTF8.GetByteCount(text);
                if (count > buffer.Length - filled)
                {
                    piece(buffer, filled);
                    filled = 0;
                    buffer = count <= buffer.Length ? buffer : new byte[count];
                }

                filled += Encoding.UTF8.GetBytes(text, 0, text.Length, buffer, filled);
            }

            piece(buffer, filled);
        }
    }
}
