namespace Twintail.BindGen;

/// <summary>Translates C types to blittable C# types.</summary>
internal static class CSharpType
{
    private static readonly Dictionary<string, string> Plain = new(StringComparer.Ordinal)
    {
        ["void"] = "void",
        ["char"] = "byte", // UTF-8
        ["float"] = "float",
        ["double"] = "double",
        ["int8_t"] = "sbyte",
        ["uint8_t"] = "byte",
        ["int16_t"] = "short",
        ["uint16_t"] = "ushort",
        ["int32_t"] = "int",
        ["uint32_t"] = "uint",
        ["int64_t"] = "long",
        ["uint64_t"] = "ulong",
    };

    public static string Of(string c)
    {
        string name = c.Replace("const ", "", StringComparison.Ordinal).Replace("struct ", "", StringComparison.Ordinal).Trim();
        int stars = 0;
        while (name.EndsWith('*'))
        {
            name = name[..^1].TrimEnd();
            stars++;
        }

        if (!Plain.TryGetValue(name, out string? type))
        {
            // int, long and their like differ between platforms, function pointers would call back into the host: neither belongs in the ABI.
            type = name.StartsWith("tt_", StringComparison.Ordinal) ? name : throw new BindGenException($"no C# type for '{c}'");
        }

        return type + new string('*', stars);
    }
}
