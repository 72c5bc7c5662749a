namespace Twintail.BindGen;

/// <summary>
/// Writes the P/Invoke declarations of src/Interop from twintail.h.
/// Usage: BindGen [--header native/include/twintail.h] [--out src/Interop/NativeMethods.g.cs] [--check] [--clang PATH]
/// With --check nothing is written; exit code 1 says that the file differs from what the header asks for.
/// </summary>
internal static class Program
{
    private static int Main(string[] args)
    {
        try
        {
            return Run(Options.Parse(args));
        }
        catch (BindGenException error)
        {
            Console.Error.WriteLine($"bindgen: {error.Message}");
            return 2;
        }
    }

    private static int Run(Options options)
    {
        string headerText = File.ReadAllText(options.Header);
        using var ast = ClangAst.Load(options.Header, options.Clang);
        Header header = HeaderReader.Read(ast.RootElement, headerText);
        string wanted = CSharpWriter.Write(header);
        if (!options.Check)
        {
            File.WriteAllText(options.Output, wanted);
            Console.WriteLine(
                $"{options.Output}: {header.Functions.Count} functions, {header.Structs.Count} structs, {header.Enums.Count} enums");
            return 0;
        }

        string found = File.Exists(options.Output) ? File.ReadAllText(options.Output) : "";
        if (found == wanted)
        {
            Console.WriteLine($"{options.Output}: matches {options.Header}");
            return 0;
        }

        Console.Error.WriteLine($"{options.Output}: does not match {options.Header}{FirstDifference(found, wanted)}; run BindGen without --check");
        return 1;
    }

    private static string FirstDifference(string found, string wanted)
    {
        string[] foundLines = found.Split('\n');
        string[] wantedLines = wanted.Split('\n');
        for (int i = 0; i < Math.Max(foundLines.Length, wantedLines.Length); i++)
        {
            string have = i < foundLines.Length ? foundLines[i] : "<end of file>";
            string need = i < wantedLines.Length ? wantedLines[i] : "<end of file>";
            if (have != need)
            {
                return $" at line {i + 1}: expected '{need.Trim()}', got '{have.Trim()}'";
            }
        }

        return "";
    }
}
