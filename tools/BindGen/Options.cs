namespace Twintail.BindGen;

/// <summary>What the command line asks for.</summary>
internal sealed record Options(string Header, string Output, bool Check, string? Clang)
{
    public static Options Parse(string[] args)
    {
        string header = "native/include/twintail.h";
        string output = "src/Interop/NativeMethods.g.cs";
        string? clang = null;
        bool check = false;
        for (int i = 0; i < args.Length; i++)
        {
            switch (args[i])
            {
                case "--header":
                    header = Value(args, ref i);
                    break;
                case "--out":
                    output = Value(args, ref i);
                    break;
                case "--clang":
                    clang = Value(args, ref i);
                    break;
                case "--check":
                    check = true;
                    break;
                default:
                    throw new BindGenException($"unknown option '{args[i]}'");
            }
        }

        return new Options(header, output, check, clang);
    }

    private static string Value(string[] args, ref int i) =>
        i + 1 < args.Length ? args[++i] : throw new BindGenException($"{args[i]} needs a value");
}
