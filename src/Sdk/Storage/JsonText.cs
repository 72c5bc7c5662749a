using System.Collections;
using System.Globalization;
using System.Text;

namespace Twintail.Storage;

/// <summary>A JSON object whose members keep the order in which they were added, so that equal states give equal files.</summary>
internal sealed class JsonObject : IEnumerable<KeyValuePair<string, object?>>
{
    private readonly List<string> _order = new();
    private readonly Dictionary<string, object?> _members = new(StringComparer.Ordinal);

    public int Count => _order.Count;

    public object? this[string name]
    {
        get => _members.TryGetValue(name, out object? value) ? value : null;
        set
        {
            if (!_members.ContainsKey(name))
            {
                _order.Add(name);
            }

            _members[name] = value;
        }
    }

    public bool Contains(string name) => _members.ContainsKey(name);

    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
    {
        foreach (string name in _order)
        {
            yield return new KeyValuePair<string, object?>(name, _members[name]);
        }
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
}

/// <summary>
/// JSON text to and from <see cref="JsonObject"/>, List&lt;object?&gt;, string, long, double, bool and null. Own code, because the
/// netstandard2.1 build of System.Text.Json needs parts of the runtime that Mono lacks, and brings six more assemblies to a host.
/// </summary>
internal static class JsonText
{
    /// <summary>Parses a text that must be one JSON object.</summary>
    /// <exception cref="BadArgumentException">It is not; the place is named.</exception>
    public static JsonObject ParseObject(string text, string what) => new JsonReader(text, what).ReadDocument() as JsonObject
        ?? throw new BadArgumentException(what, "a JSON object", Shorten(text));

    /// <summary>Numbers are written so that they read back exactly.</summary>
    public static string Write(object? value, bool indented)
    {
        var text = new StringBuilder();
        Write(text, value, indented, 0);
        return text.ToString();
    }

    internal static string Shorten(string text) => text.Length <= 40 ? text : text.Substring(0, 40) + "...";

    private static void Write(StringBuilder text, object? value, bool indented, int depth)
    {
        switch (value)
        {
            case null:
                text.Append("null");
                break;
            case string s:
                WriteString(text, s);
                break;
            case bool b:
                text.Append(b ? "true" : "false");
                break;
            case float f:
                WriteNumber(text, f, f.ToString("R", CultureInfo.InvariantCulture));
                break;
            case double d:
                WriteNumber(text, d, d.ToString("R", CultureInfo.InvariantCulture));
                break;
            case JsonObject members:
                WriteObject(text, members, indented, depth);
                break;
            case IEnumerable list:
                WriteList(text, list, depth);
                break;
            default:
                text.Append(Convert.ToString(value, CultureInfo.InvariantCulture));
                break;
        }
    }

    private static void WriteNumber(StringBuilder text, double number, string exact)
    {
        // JSON has no NaN and no infinities.
        text.Append(double.IsNaN(number) || double.IsInfinity(number) ? "null" : exact);
    }

    private static void WriteObject(StringBuilder text, JsonObject members, bool indented, int depth)
    {
        text.Append('{');
        bool first = true;
        foreach (KeyValuePair<string, object?> member in members)
        {
            text.Append(first ? "" : indented ? "," : ", ");
            first = false;
            NewLine(text, indented, depth + 1);
            WriteString(text, member.Key);
            text.Append(": ");
            Write(text, member.Value, indented, depth + 1);
        }

        NewLine(text, indented && members.Count > 0, depth);
        text.Append('}');
    }

    private static void WriteList(StringBuilder text, IEnumerable list, int depth)
    {
        text.Append('[');
        bool first = true;
        foreach (object? item in list)
        {
            text.Append(first ? "" : ", ");
            first = false;
            Write(text, item, false, depth + 1);
        }

        text.Append(']');
    }

    private static void NewLine(StringBuilder text, bool indented, int depth)
    {
        if (indented)
        {
            text.Append('\n').Append(' ', 2 * depth);
        }
    }

    private static void WriteString(StringBuilder text, string value)
    {
        text.Append('"');
        foreach (char c in value)
        {
            switch (c)
            {
                case '"' or '\\':
                    text.Append('\\').Append(c);
                    break;
                case '\n':
                    text.Append("\\n");
                    break;
                case < ' ':
                    text.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                    break;
                default:
                    text.Append(c);
                    break;
            }
        }

        text.Append('"');
    }
}
