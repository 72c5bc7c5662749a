namespace Twintail.Data.Ingest;

/// <summary>Finds what somebody probably meant.</summary>
internal static class NameSuggestions
{
    private const int Most = 3;

    /// <summary>A clause naming the nearest candidates, or all of them if few, or "".</summary>
    public static string Clause(string wanted, IEnumerable<string> candidates)
    {
        string[] all = candidates.ToArray();
        string[] near = all
            .Select(name => (name, distance: Distance(wanted.ToUpperInvariant(), name.ToUpperInvariant())))
            .Where(pair => pair.distance <= Math.Max(2, wanted.Length / 3))
            .OrderBy(pair => pair.distance).ThenBy(pair => pair.name, StringComparer.Ordinal)
            .Take(Most)
            .Select(pair => $"'{pair.name}'")
            .ToArray();
        return near.Length > 0 ? $"; did you mean {string.Join(" or ", near)}?" : "";
    }

    /// <summary>A missing column, with the nearest names and what the file has.</summary>
    public static string MissingColumn(string wanted, IReadOnlyList<string> columns)
    {
        const int Shown = 12, MostCharacters = 60;
        string has = string.Join(", ", columns.Take(Shown).Select(name => name.Length <= MostCharacters ? name : name[..MostCharacters] + "..."))
            + (columns.Count > Shown ? ", ..." : "");
        return $"the column is missing{Clause(wanted, columns)} (the file has {has})";
    }

    /// <summary>A missing file, with the nearest names in its folder.</summary>
    public static string MissingFile(string path)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(path)) ?? "/";
        if (!Directory.Exists(folder))
        {
            return $"the file does not exist, nor does its folder {folder}";
        }

        try
        {
            IEnumerable<string> names = Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)!);
            return "the file does not exist" + Clause(Path.GetFileName(path), names);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            return "the file does not exist";
        }
    }

    private static int Distance(string a, string b)
    {
        bool contains = Math.Min(a.Length, b.Length) >= 4 && (a.Contains(b, StringComparison.Ordinal) || b.Contains(a, StringComparison.Ordinal));
        return contains ? 1 : Edits(a, b);
    }

    // Optimal string alignment: insertions, deletions, replacements and swaps of neighbours cost 1.
    private static int Edits(string a, string b)
    {
        var cost = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
        {
            for (int j = 0; j <= b.Length; j++)
            {
                if (i == 0 || j == 0)
                {
                    cost[i, j] = i + j;
                    continue;
                }

                int best = Math.Min(cost[i - 1, j], cost[i, j - 1]) + 1;
                best = Math.Min(best, cost[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
                if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                {
                    best = Math.Min(best, cost[i - 2, j - 2] + 1);
                }

                cost[i, j] = best;
            }
        }

        return cost[a.Length, b.Length];
    }
}
