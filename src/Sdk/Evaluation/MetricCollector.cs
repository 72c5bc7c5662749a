using Twintail.Features;

namespace Twintail.Evaluation;

/// <summary>Turns ranks into the metrics of each user, overall (slice 0) and for the four slices of popularity.</summary>
internal sealed class MetricCollector
{
    private readonly Catalogue _catalogue;
    private readonly Targets _targets;
    private readonly int[] _sliceOfCandidate;
    private readonly int[] _ks;
    private readonly bool[] _covered;
    private readonly SliceValues[] _slices;
    private readonly List<int> _ranks = new();

    public MetricCollector(Catalogue catalogue, Targets targets, int[] sliceOfItem, int[] ks)
    {
        _catalogue = catalogue;
        _targets = targets;
        _ks = ks;
        _sliceOfCandidate = Array.ConvertAll(targets.Candidates, item => sliceOfItem[item]);
        _covered = new bool[targets.Candidates.Length];
        _slices = new SliceValues[PopularitySlices.Names.Count + 1];
        for (int s = 0; s < _slices.Length; s++)
        {
            _slices[s] = new SliceValues(s == 0 ? "all" : PopularitySlices.Names[s - 1], targets.Users.Length, Metrics);
        }
    }

    private int Metrics => _ks.Length + 2;

    /// <summary>Takes the ranks of a block of users in.</summary>
    public void Add(int firstUser, long[] offsets, int[] wanted, int[] ranks)
    {
        for (int i = 0; i + 1 < offsets.Length; i++)
        {
            for (int s = 0; s < _slices.Length; s++)
            {
                _ranks.Clear();
                for (long t = offsets[i]; t < offsets[i + 1]; t++)
                {
                    if (s == 0 || _sliceOfCandidate[wanted[t]] == s - 1)
                    {
                        _ranks.Add(ranks[t]);
                    }
                }

                if (_ranks.Count > 0)
                {
                    Store(_slices[s], firstUser + i);
                }
            }
        }
    }

    /// <summary>Notes the candidates that occur in the lists; -1 is no candidate.</summary>
    public void Cover(int[] lists)
    {
        foreach (int candidate in lists)
        {
            if (candidate >= 0)
            {
                _covered[candidate] = true;
            }
        }
    }

    public UserValues Finish()
    {
        for (int s = 0; s < _slices.Length; s++)
        {
            int[] own = Enumerable.Range(0, _covered.Length).Where(c => s == 0 || _sliceOfCandidate[c] == s - 1).ToArray();
            _slices[s].Items = own.Length;
            _slices[s].Coverage = own.Length > 0 ? own.Count(c => _covered[c]) / (double)own.Length : double.NaN;
        }

        var names = _ks.Select(k => $"recall@{k}").Append($"ndcg@{_ks[0]}").Append("mrr").ToArray();
        string[] users = Array.ConvertAll(_targets.Users, row => _catalogue.Users.Ids[row]);
        return new UserValues(users, names, _slices.Where(slice => slice.Pairs > 0).ToArray());
    }

    private void Store(SliceValues slice, int user)
    {
        int at = user * Metrics;
        slice.Has[user] = true;
        slice.Pairs += _ranks.Count;
        foreach (int k in _ks)
        {
            slice.Values[at++] = _ranks.Count(rank => rank <= k) / (double)Math.Min(k, _ranks.Count);
        }

        slice.Values[at++] = Ndcg(_ks[0]);
        slice.Values[at] = 1.0 / _ranks.Min();
    }

    private double Ndcg(int k)
    {
        double gain = _ranks.Sum(rank => rank <= k ? 1 / Math.Log(rank + 1, 2) : 0);
        double ideal = 0;
        for (int rank = 1; rank <= Math.Min(k, _ranks.Count); rank++)
        {
            ideal += 1 / Math.Log(rank + 1, 2);
        }

        return gain / ideal;
    }
}
