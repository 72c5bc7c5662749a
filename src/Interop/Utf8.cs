using System.Text;

namespace Twintail.Interop;

/// <summary>Reads the zero-terminated UTF-8 strings of the C API.</summary>
public static unsafe class Utf8
{
    /// <summary>The text at <paramref name="text"/>, at most <paramref name="capacity"/> bytes; "" for null.</summary>
    public static string Read(byte* text, int capacity = int.MaxValue)
    {
        if (text == null)
        {
            return "";
        }

        int length = 0;
        while (length < capacity && text[length] != 0)
        {
            length++;
        }

        return Encoding.UTF8.GetString(text, length);
    }
}
