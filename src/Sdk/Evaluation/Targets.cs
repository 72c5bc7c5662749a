using Twintail.Features;
using Twintail.Sampling;

namespace Twintail.Evaluation;

/// <summary>What an evaluation looks for: candidates, users, and per user the items to be found and those left out.</summary>
internal sealed class Targets
{
    public Targets(Catalogue catalogue, IReadOnlyDictionary<string, Interactions> splits, EvaluationOptions options)
    {
        List<Interactions> logs = Logs(splits, options);
        Candidates = FindCandidates(catalogue, logs, options.Candidates);
        CandidateOf = new int[catalogue.Items.Rows];
        Array.Fill(CandidateOf, -1);
        for (int candidate = 0; candidate < Candidates.Length; candidate++)
        {
            CandidateOf[Candidates[candidate]] = candidate;
        }

        Dictionary<int, SortedSet<int>> wanted = Collect(catalogue, logs);
        Users = Choose(wanted.Keys.OrderBy(x => x).ToArray(), options);
        if (Users.Length == 0)
        {
            throw new BadArgumentException(
                "splits", $"clicks on {options.Candidates.ToString().ToLowerInvariant()} items in {string.Join(", ", options.Splits)}", "none");
        }

        Wanted = Array.ConvertAll(Users, user => wanted[user].ToArray());
        Excluded = Array.ConvertAll(Users, user => Exclude(catalogue, user));
    }

    /// <summary>Item rows, ascending.</summary>
    public int[] Candidates { get; }

    /// <summary>[items]: position among the candidates, or -1.</summary>
    public int[] CandidateOf { get; }

    /// <summary>User rows, ascending.</summary>
    public int[] Users { get; }

    /// <summary>Per user the candidates to be found, ascending.</summary>
    public int[][] Wanted { get; }

    /// <summary>Per user the candidates left out: those of the training clicks, ascending.</summary>
    public int[][] Excluded { get; }

    /// <summary>Clicks left out, since their item is no candidate or among the user's training clicks.</summary>
    public int Skipped { get; private set; }

    private static List<Interactions> Logs(IReadOnlyDictionary<string, Interactions> splits, EvaluationOptions options)
    {
        var logs = new List<Interactions>();
        foreach (string split in options.Splits)
        {
            logs.Add(splits.TryGetValue(split, out Interactions? log)
                ? log
                : throw new BadArgumentException("split", splits.Count == 0 ? "a split" : string.Join(", ", splits.Keys), split));
        }

        return logs;
    }

    private static int[] FindCandidates(Catalogue catalogue, List<Interactions> logs, Candidates which)
    {
        var isCandidate = new bool[catalogue.Items.Rows];
        for (int item = 0; item < isCandidate.Length; item++)
        {
            isCandidate[item] = which != Evaluation.Candidates.Cold && catalogue.Clicks[item] > 0;
        }

        foreach (int item in logs.SelectMany(log => log.Items))
        {
            isCandidate[item] |= which != Evaluation.Candidates.Warm && catalogue.Clicks[item] == 0;
        }

        return Enumerable.Range(0, isCandidate.Length).Where(item => isCandidate[item]).ToArray();
    }

    private static int[] Choose(int[] users, EvaluationOptions options)
    {
        if (options.MaxUsers == 0 || options.MaxUsers >= users.Length)
        {
            return users;
        }

        int[] order = new Philox(options.Seed, Purpose.ValidUsers).Permutation(users.Length, 0);
        return order.Take(options.MaxUsers).Select(i => users[i]).OrderBy(user => user).ToArray();
    }

    private Dictionary<int, SortedSet<int>> Collect(Catalogue catalogue, List<Interactions> logs)
    {
        var wanted = new Dictionary<int, SortedSet<int>>();
        foreach (Interactions log in logs)
        {
            for (int click = 0; click < log.Count; click++)
            {
                int user = log.Users[click];
                int item = log.Items[click];
                if (CandidateOf[item] < 0 || catalogue.HistoryOf(user).IndexOf(item) >= 0)
                {
                    Skipped++;
                    continue;
                }

                if (!wanted.TryGetValue(user, out SortedSet<int>? own))
                {
                    wanted.Add(user, own = new SortedSet<int>());
                }

                own.Add(CandidateOf[item]);
            }
        }

        return wanted;
    }

    private int[] Exclude(Catalogue catalogue, int user)
    {
        var excluded = new SortedSet<int>();
        foreach (int item in catalogue.HistoryOf(user))
        {
            if (CandidateOf[item] >= 0)
            {
                excluded.Add(CandidateOf[item]);
            }
        }

        return excluded.ToArray();
    }
}
