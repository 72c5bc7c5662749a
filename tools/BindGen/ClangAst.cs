using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;

namespace Twintail.BindGen;

/// <summary>Runs clang on a C header and gives its syntax tree.</summary>
internal static class ClangAst
{
    private static readonly string[] Names = ["clang-14", "clang", "clang-15", "clang-16", "clang-17", "clang-18", "clang-19"];

    /// <summary>The syntax tree of <paramref name="header"/>, comments included.</summary>
    public static JsonDocument Load(string header, string? clang)
    {
        if (!File.Exists(header))
        {
            throw new BindGenException($"no such header: {header}");
        }

        foreach (string name in clang != null ? [clang] : Names)
        {
            if (TryRun(name, header, out string output))
            {
                return JsonDocument.Parse(output, new JsonDocumentOptions { MaxDepth = 512 });
            }
        }

        throw new BindGenException($"no clang found (tried {clang ?? string.Join(", ", Names)}); name one with --clang");
    }

    private static bool TryRun(string clang, string header, out string output)
    {
        // -fparse-all-comments: ordinary /* */ comments become part of the tree.
        string[] arguments = ["-x", "c", "-std=c11", "-fparse-all-comments", "-Xclang", "-ast-dump=json", "-fsyntax-only", header];
        var start = new ProcessStartInfo(clang, (IEnumerable<string>)arguments)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        Process process;
        try
        {
            process = Process.Start(start) ?? throw new BindGenException($"{clang} did not start");
        }
        catch (Win32Exception)
        {
            output = "";
            return false;
        }

        using (process)
        {
            Task<string> errors = process.StandardError.ReadToEndAsync();
            output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            if (process.ExitCode != 0)
            {
                throw new BindGenException($"{clang} refuses {header}:{Environment.NewLine}{errors.Result}");
            }
        }

        return true;
    }
}
