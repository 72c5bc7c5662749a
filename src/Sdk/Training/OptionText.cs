using System.Globalization;
using System.Text;

namespace Twintail.Training;

/// <summary>Names and values of options as text: "batch-size", "rowwise-adagrad", "random-mask+value-dropout", "256,128".</summary>
public static class OptionText
{
    private const string EmptyList = "none";

    /// <summary>The kebab-case name of a property or an enum member: BatchSize → batch-size.</summary>
    public static string Name(string pascal) => Words(pascal, '-');

    /// <summary>The choices of an enum: "none, log-q"; for flags those that can be combined, joined by +.</summary>
    public static string Choices(Type type)
    {
        var names = new List<string>();
        foreach (string name in Enum.GetNames(type))
        {
            names.Add(Name(name));
        }

        return string.Join(", ", names) + (IsFlags(type) ? " or several joined by +" : "");
    }

    /// <summary>A value as text that <see cref="Parse"/> reads back exactly.</summary>
    public static string Format(object value)
    {
        switch (value)
        {
            case int[] { Length: 0 }:
                return EmptyList;
            case int[] list:
                return string.Join(",", Array.ConvertAll(list, x => x.ToString(CultureInfo.InvariantCulture)));
            case bool flag:
                return flag ? "true" : "false";
            case Enum member:
                return Name(member.ToString()).Replace(", -", "+").Replace(", ", "+");
            case float number:
                return number.ToString("R", CultureInfo.InvariantCulture);
            default:
                return Convert.ToString(value, CultureInfo.InvariantCulture) ?? "";
        }
    }

    /// <summary>Reads a value of the given type.</summary>
    /// <exception cref="BadArgumentException">The text is no such value; <paramref name="option"/> is named.</exception>
    public static object Parse(string option, Type type, string text)
    {
        text = text.Trim();
        if (type.IsEnum)
        {
            return ParseEnum(option, type, text);
        }

        if (type == typeof(bool))
        {
            return bool.TryParse(text, out bool flag) ? flag : throw Bad(option, "true or false", text);
        }

        if (type == typeof(int))
        {
            return ParseInt(option, text);
        }

        if (type == typeof(long))
        {
            return long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long big)
                ? big
                : throw Bad(option, "an integer", text);
        }

        if (type == typeof(float))
        {
            return float.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out float number)
                ? number
                : throw Bad(option, "a number", text);
        }

        if (type == typeof(int[]))
        {
            return ParseList(option, text);
        }

        throw new NotSupportedException($"options of type {type.Name}");
    }

    internal static string Words(string pascal, char separator)
    {
        var text = new StringBuilder(pascal.Length + 4);
        for (int i = 0; i < pascal.Length; i++)
        {
            bool starts = char.IsUpper(pascal[i]) && i > 0 && char.IsLetterOrDigit(pascal[i - 1])
                && (!char.IsUpper(pascal[i - 1]) || (i + 1 < pascal.Length && char.IsLower(pascal[i + 1])));
            if (starts)
            {
                text.Append(separator);
            }

            text.Append(char.ToLowerInvariant(pascal[i]));
        }

        return text.ToString();
    }

    /// <summary>The name without case and separators, by which options are looked up.</summary>
    internal static string Key(string name) => name.Replace("-", "").Replace("_", "").ToLowerInvariant();

    private static object ParseEnum(string option, Type type, string text)
    {
        int bits = 0;
        string[] parts = IsFlags(type) ? text.Split('+', ',', '|') : new[] { text };
        foreach (string part in parts)
        {
            string key = Key(part.Trim());
            string? found = null;
            foreach (string name in Enum.GetNames(type))
            {
                found = Key(name) == key ? name : found;
            }

            if (found == null)
            {
                throw Bad(option, Choices(type), text.Length == 0 ? "nothing" : text);
            }

            bits |= Convert.ToInt32(Enum.Parse(type, found), CultureInfo.InvariantCulture);
        }

        return Enum.ToObject(type, bits);
    }

    private static int[] ParseList(string option, string text)
    {
        if (text.Length == 0 || text == EmptyList)
        {
            return Array.Empty<int>();
        }

        string[] parts = text.Split(',', 'x');
        return Array.ConvertAll(parts, part => ParseInt(option, part.Trim()));
    }

    private static int ParseInt(string option, string text) =>
        int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw Bad(option, "an integer", text.Length == 0 ? "nothing" : text);

    private static bool IsFlags(Type type) => type.IsDefined(typeof(FlagsAttribute), false);

    private static BadArgumentException Bad(string option, string expected, string got) => new(Name(option), expected, got);
}
