namespace Twintail.BindGen;

/// <summary>A C header as far as bindings need it; types are C# types already.</summary>
internal sealed record Header(
    IReadOnlyList<Constant> Constants,
    IReadOnlyList<EnumType> Enums,
    IReadOnlyList<StructType> Structs,
    IReadOnlyList<Function> Functions);

/// <summary>A numeric #define.</summary>
internal sealed record Constant(string Name, string Value);

/// <summary>A C enum.</summary>
internal sealed record EnumType(string Name, string Doc, IReadOnlyList<EnumValue> Values);

/// <summary>One name of a C enum.</summary>
internal sealed record EnumValue(string Name, string Value, string Doc);

/// <summary>A C struct; opaque ones have no fields.</summary>
internal sealed record StructType(string Name, string Doc, IReadOnlyList<Field> Fields);

/// <summary>A field; Length is 0 except for arrays.</summary>
internal sealed record Field(string Name, string Type, int Length, string Doc);

/// <summary>A function.</summary>
internal sealed record Function(string Name, string Returns, IReadOnlyList<Parameter> Parameters, string Doc);

/// <summary>A parameter of a function.</summary>
internal sealed record Parameter(string Name, string Type);
