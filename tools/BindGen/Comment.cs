using System.Text;
using System.Text.Json;

namespace Twintail.BindGen;

/// <summary>Finds the comments that clang has attached to declarations.</summary>
internal sealed class Comment(string headerText)
{
    // clang counts bytes.
    private readonly byte[] _header = Encoding.UTF8.GetBytes(headerText);

    /// <summary>The text of a declaration's comment, lines joined by \n; "" where there is none.</summary>
    public string Of(JsonElement declaration) => At(Begin(declaration));

    /// <summary>Where a declaration's comment begins, -1 where there is none.</summary>
    public static int Begin(JsonElement declaration)
    {
        if (!declaration.TryGetProperty("inner", out JsonElement inner))
        {
            return -1;
        }

        foreach (JsonElement child in inner.EnumerateArray())
        {
            if (child.GetProperty("kind").GetString() == "FullComment")
            {
                return child.GetProperty("range").GetProperty("begin").GetProperty("offset").GetInt32();
            }
        }

        return -1;
    }

    /// <summary>The text of the comment that begins at a byte of the header, as it stands there.</summary>
    public string At(int begin)
    {
        if (begin < 0)
        {
            return "";
        }

        // clang's own text nodes stop at each '&' and '<', which mean markup to it but not in our header.
        string rest = Encoding.UTF8.GetString(_header, begin, _header.Length - begin);
        return Clean(rest[..rest.IndexOf("*/", StringComparison.Ordinal)]);
    }

    private static string Clean(string comment)
    {
        var text = new StringBuilder();
        foreach (string raw in comment.Split('\n'))
        {
            string line = raw.Trim().TrimStart('*').Trim();

            // "---- title ----" only divides the header.
            if (line.Length > 0 && !line.StartsWith("----", StringComparison.Ordinal))
            {
                text.Append(text.Length > 0 ? "\n" : "").Append(line);
            }
        }

        return text.ToString();
    }
}
