using Twintail.Evaluation;
using Twintail.Features;

namespace Twintail.Tests.Evaluation;

/// <summary>The evaluation once more, from its definition, by sorting all scores of each user in doubles.</summary>
internal sealed class BruteForce
{
    private readonly Dictionary<int, List<int>> _ranking = [];
    private readonly Dictionary<int, HashSet<int>> _wanted = [];
    private readonly HashSet<int> _candidates;
    private readonly int[] _slices;
    private readonly int[] _ks;

    public BruteForce(
        Catalogue catalogue, List<(int User, int Item)> train, List<(int User, int Item)> test, Candidates which, EvaluatorTests.FixedRanker ranker, int[] ks)
    {
        _ks = ks;
        _slices = [.. PopularitySlices.Assign(catalogue.Clicks)];
        HashSet<int> warm = [.. train.Select(x => x.Item)];
        HashSet<int> cold = [.. test.Select(x => x.Item).Where(x => !warm.Contains(x))];
        _candidates = which == Candidates.Warm ? warm : which == Candidates.Cold ? cold : [.. warm, .. cold];
        foreach (IGrouping<int, (int User, int Item)> user in test.GroupBy(x => x.User))
        {
            HashSet<int> seen = [.. train.Where(x => x.User == user.Key).Select(x => x.Item)];
            HashSet<int> wanted = [.. user.Select(x => x.Item).Where(x => _candidates.Contains(x) && !seen.Contains(x))];
            if (wanted.Count > 0)
            {
                _wanted[user.Key] = wanted;
                _ranking[user.Key] = [.. _candidates.Where(x => !seen.Contains(x)).OrderByDescending(x => ranker.Score(user.Key, x))];
            }
        }
    }

    /// <summary>Metrics of a slice, or null where it has nothing to be found.</summary>
    public Dictionary<string, double>? Metrics(string slice)
    {
        bool In(int item) => slice == "all" || PopularitySlices.Names[_slices[item]] == slice;
        var users = _wanted.Where(x => x.Value.Any(In)).Select(x => (User: x.Key, Wanted: x.Value.Where(In).ToHashSet())).ToList();
        if (users.Count == 0)
        {
            return null;
        }

        var metrics = new Dictionary<string, double>();
        foreach (int k in _ks)
        {
            metrics[$"recall@{k}"] = users.Average(x => _ranking[x.User].Take(k).Count(x.Wanted.Contains) / (double)Math.Min(k, x.Wanted.Count));
        }

        metrics[$"ndcg@{_ks[0]}"] = users.Average(x =>
            _ranking[x.User].Take(_ks[0]).Select((item, at) => x.Wanted.Contains(item) ? 1 / Math.Log2(at + 2) : 0).Sum()
            / Enumerable.Range(0, Math.Min(_ks[0], x.Wanted.Count)).Sum(at => 1 / Math.Log2(at + 2)));
        metrics["mrr"] = users.Average(x => 1.0 / (1 + _ranking[x.User].FindIndex(x.Wanted.Contains)));
        int shown = _ranking.Values.SelectMany(x => x.Take(_ks[0])).Distinct().Count(In);
        metrics[$"coverage@{_ks[0]}"] = shown / (double)_candidates.Count(In);
        return metrics;
    }
}
