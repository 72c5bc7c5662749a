using Twintail.Data.Ingest;

namespace Twintail.Cli.Terminal;

/// <summary>What somebody probably meant.</summary>
internal static class Suggestions
{
    /// <summary>"; did you mean 'x'?" or nothing.</summary>
    public static string Clause(string wanted, IEnumerable<string> known) => NameSuggestions.Clause(wanted, known);
}
