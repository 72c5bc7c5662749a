namespace Twintail.Bench.Running;

/// <summary>The command line: an optional verb, then --name or --name value.</summary>
internal sealed class Options
{
    private readonly Dictionary<string, string> _values = [];

    public Options(string[] args)
    {
        int next = 0;
        Verb = args.Length > 0 && !args[0].StartsWith('-') ? args[next++] : "run";
        while (next < args.Length)
        {
            string name = args[next++];
            if (!name.StartsWith("--", StringComparison.Ordinal))
            {
                throw new FormatException($"expected an option such as --quick, got '{name}'");
            }

            int equals = name.IndexOf('=');
            bool hasNext = next < args.Length && !args[next].StartsWith("--", StringComparison.Ordinal);
            string value = equals >= 0 ? name[(equals + 1)..] : hasNext ? args[next++] : "true";
            _values[(equals >= 0 ? name[..equals] : name)[2..]] = value;
        }
    }

    public string Verb { get; }

    public bool Quick => Has("quick");

    public int Threads => int.Parse(Get("threads", Math.Min(2, Environment.ProcessorCount).ToString()));

    /// <summary>Where results go.</summary>
    public string Folder => Directory.CreateDirectory(Get("out", Path.Combine(Root, "artifacts", "bench"))).FullName;

    /// <summary>The repository: the nearest folder upwards, of the program or the working directory, that holds Twintail.slnx.</summary>
    public static string Root => Upwards(AppContext.BaseDirectory) ?? Upwards(Environment.CurrentDirectory) ?? Environment.CurrentDirectory;

    public bool Has(string name) => _values.ContainsKey(name);

    public string Get(string name, string otherwise) => _values.GetValueOrDefault(name, otherwise);

    public string Get(string name) =>
        _values.TryGetValue(name, out string? value) ? value : throw new FormatException($"expected --{name}");

    private static string? Upwards(string folder)
    {
        for (DirectoryInfo? at = new(folder); at != null; at = at.Parent)
        {
            if (File.Exists(Path.Combine(at.FullName, "Twintail.slnx")))
            {
                return at.FullName;
            }
        }

        return null;
    }
}
