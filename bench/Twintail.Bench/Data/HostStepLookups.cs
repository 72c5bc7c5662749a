using Twintail.Features;
using Twintail.Training;

namespace Twintail.Bench.Data;

/// <summary>
/// Draws steps on the host as a TorchSharp user must: clicks in random order, uniform items, dropped positions of histories
/// without the positive itself, dropped ids, correlated masks with their complements; then lists of the values that are left.
/// </summary>
internal sealed class HostStepLookups : StepLookups
{
    private readonly Catalogue _catalogue;
    private readonly Interactions _clicks;
    private readonly TrainingOptions _options;
    private readonly ulong[] _correlated;
    private readonly ParallelOptions _threads;
    private readonly KeptValues _histories;
    private readonly ulong[] _masks;
    private SplitMix _random = new(77);

    public HostStepLookups(
        Catalogue catalogue,
        Interactions clicks,
        int n,
        TrainingOptions options,
        ulong[] correlated,
        IReadOnlyList<FeatureBinding> users,
        IReadOnlyList<FeatureBinding> items)
        : base(n, options.SelfBatchSize, users, items)
    {
        _catalogue = catalogue;
        _clicks = clicks;
        _options = options;
        _correlated = correlated;
        _threads = new ParallelOptions { MaxDegreeOfParallelism = options.Threads };
        _histories = new KeptValues(N);
        _masks = new ulong[N + (2 * M)];
    }

    public override void Prepare()
    {
        DrawClicks();
        DrawViews();
        Parallel.For(0, Users.Length + Items.Length, _threads, f =>
        {
            if (f < Users.Length)
            {
                FillUsers(UserFeatures[f], Users[f]);
            }
            else
            {
                FillItems(f - Users.Length);
            }
        });
    }

    /// <summary>Clicks, what is left of their users' histories, and which clicked items lose their id.</summary>
    private void DrawClicks()
    {
        uint dropBelow = (uint)(_options.HistoryDropout * 65536);
        uint idBelow = (uint)(_options.IdDropout * 65536);
        _histories.Clear();
        for (int i = 0; i < N; i++)
        {
            int click = _random.Below(_clicks.Count);
            Clicked[i] = _clicks.Items[click];
            Span<int> history = _catalogue.HistoryOf(_clicks.Users[click]);
            _histories.Reserve(history.Length);
            ulong bits = 0;
            for (int p = 0; p < history.Length; p++)
            {
                bits = p % 4 == 0 ? _random.Next() : bits >> 16;
                if (history[p] != Clicked[i] && (bits & 0xFFFF) >= dropBelow)
                {
                    _histories.Add(history[p]);
                }
            }

            // Not EndBag: an empty history stays empty, its features become the default one by one.
            _histories.Offsets[i + 1] = _histories.Count;
            _masks[i] = (_random.Next() & 0xFFFF) < idBelow ? 1UL : 0;
        }
    }

    private void DrawViews()
    {
        ulong all = (1UL << ItemFeatures.Count) - 1;
        for (int i = 0; i < M; i++)
        {
            SelfItems[i] = _random.Below(_catalogue.Items.Rows);
            ulong masked = _correlated[_random.Below(_correlated.Length)];
            _masks[N + i] = masked;
            _masks[N + M + i] = all & ~masked;
        }
    }

    private void FillUsers(FeatureBinding feature, KeptValues kept)
    {
        kept.Clear();
        for (int i = 0; i < N; i++)
        {
            foreach (int item in _histories.Values[_histories.Offsets[i].._histories.Offsets[i + 1]])
            {
                Append(feature.Column, item, kept);
            }

            kept.EndBag(i);
        }
    }

    private void FillItems(int feature)
    {
        KeptValues kept = Items[feature];
        kept.Clear();
        for (int bag = 0; bag < _masks.Length; bag++)
        {
            if ((_masks[bag] >> feature & 1) == 0)
            {
                int item = bag < N ? Clicked[bag] : SelfItems[(bag - N) % M];
                Append(ItemFeatures[feature].Column, item, kept);
            }

            kept.EndBag(bag);
        }
    }

    private static void Append(FeatureColumn column, int row, KeptValues kept)
    {
        Span<int> values = column.ValuesOf(row);
        kept.Reserve(values.Length);
        kept.Add(values);
    }
}
