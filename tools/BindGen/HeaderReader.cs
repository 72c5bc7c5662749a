using System.Globalization;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Twintail.BindGen;

/// <summary>Picks the declarations that start with tt_ out of clang's tree.</summary>
internal sealed partial class HeaderReader
{
    private readonly Comment _comment;

    private HeaderReader(Comment comment) => _comment = comment;

    private const string Prefix = "tt_";

    public static Header Read(JsonElement root, string headerText) =>
        new HeaderReader(new Comment(headerText)).ReadAll(root, headerText);

    private Header ReadAll(JsonElement root, string headerText)
    {
        var enums = new List<EnumType>();
        var structs = new Dictionary<string, StructType>(StringComparer.Ordinal);
        var functions = new List<Function>();
        foreach (JsonElement node in Inner(root))
        {
            string name = Name(node);
            if (!name.StartsWith(Prefix, StringComparison.Ordinal))
            {
                continue;
            }

            switch (Kind(node))
            {
                case "EnumDecl":
                    enums.Add(ReadEnum(node));
                    break;
                case "RecordDecl":
                    // An opaque struct is declared again by its typedef; a complete declaration replaces a forward one.
                    StructType type = ReadStruct(node);
                    if (!structs.TryGetValue(name, out StructType? known) || known.Fields.Count == 0)
                    {
                        structs[name] = type;
                    }

                    break;
                case "FunctionDecl":
                    functions.Add(ReadFunction(node));
                    break;
            }
        }

        return new Header(ReadConstants(headerText), enums, [.. structs.Values], functions);
    }

    [GeneratedRegex(@"^#define\s+(TT_\w+)\s+(\d+)\s*$", RegexOptions.Multiline)]
    private static partial Regex NumericDefine();

    [GeneratedRegex(@"^(.*)\[(\d+)\]$")]
    private static partial Regex ArrayType();

    private static List<Constant> ReadConstants(string text) =>
        [.. NumericDefine().Matches(text).Select(match => new Constant(match.Groups[1].Value, match.Groups[2].Value))];

    private EnumType ReadEnum(JsonElement node)
    {
        var values = new List<EnumValue>();
        long next = 0;
        int lastComment = -1;
        foreach (JsonElement constant in Inner(node).Where(child => Kind(child) == "EnumConstantDecl"))
        {
            JsonElement expression = Inner(constant).FirstOrDefault(child => Kind(child) == "ConstantExpr");
            long value = expression.ValueKind == JsonValueKind.Undefined ? next : long.Parse(Text(expression, "value"), CultureInfo.InvariantCulture);
            int comment = Comment.Begin(constant);
            if (comment >= 0 && comment == lastComment)
            {
                // clang gives a comment to all constants on its line; it means the last one.
                values[^1] = values[^1] with { Doc = "" };
            }

            values.Add(new EnumValue(Name(constant), value.ToString(CultureInfo.InvariantCulture), _comment.At(comment)));
            lastComment = comment;
            next = value + 1;
        }

        return new EnumType(Name(node), _comment.Of(node), values);
    }

    private StructType ReadStruct(JsonElement node)
    {
        var fields = new List<Field>();
        foreach (JsonElement child in Inner(node).Where(child => Kind(child) == "FieldDecl"))
        {
            string type = QualifiedType(child);
            Match array = ArrayType().Match(type);
            fields.Add(array.Success
                ? new Field(Name(child), CSharpType.Of(array.Groups[1].Value), int.Parse(array.Groups[2].Value, CultureInfo.InvariantCulture), _comment.Of(child))
                : new Field(Name(child), CSharpType.Of(type), 0, _comment.Of(child)));
        }

        return new StructType(Name(node), _comment.Of(node), fields);
    }

    private Function ReadFunction(JsonElement node)
    {
        string signature = QualifiedType(node);
        string returns = signature[..signature.IndexOf('(')];
        var parameters = Inner(node)
            .Where(child => Kind(child) == "ParmVarDecl")
            .Select(child => new Parameter(Name(child), CSharpType.Of(QualifiedType(child))))
            .ToList();
        return new Function(Name(node), CSharpType.Of(returns), parameters, _comment.Of(node));
    }

    private static IEnumerable<JsonElement> Inner(JsonElement node) =>
        node.TryGetProperty("inner", out JsonElement inner) ? inner.EnumerateArray() : [];

    private static string Kind(JsonElement node) => Text(node, "kind");

    private static string Name(JsonElement node) => Text(node, "name");

    private static string QualifiedType(JsonElement node) => Text(node.GetProperty("type"), "qualType");

    private static string Text(JsonElement node, string property) =>
        node.TryGetProperty(property, out JsonElement value) ? value.GetString() ?? "" : "";
}
