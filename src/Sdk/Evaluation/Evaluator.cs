using System.Diagnostics;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Retrieval;

namespace Twintail.Evaluation;

/// <summary>
/// Exact full ranking of held-out clicks, overall and by slice of popularity. For each user every candidate is ranked except those of
/// the user's training clicks; recall@k = hits / min(k, relevant), NDCG@k with binary relevance, MRR from the first hit, each as the
/// mean over users that have a click to be found in the slice. A slice counts only its own clicks, but all candidates compete.
/// </summary>
public sealed class Evaluator
{
    private const int BlockUsers = 2048;
    private readonly Catalogue _catalogue;
    private readonly EvaluationOptions _options;
    private readonly Targets _targets;
    private readonly int[] _sliceOfItem;

    /// <summary>Prepares an evaluation.</summary>
    /// <param name="catalogue">Items, users and training clicks: of the model, or <see cref="Catalogue.FromDataset"/>.</param>
    /// <param name="splits">Clicks by split name, in rows of the catalogue.</param>
    /// <param name="options">What to evaluate.</param>
    /// <exception cref="BadArgumentException">A split is missing, has no clicks to be found, or an option is out of range.</exception>
    public Evaluator(Catalogue catalogue, IReadOnlyDictionary<string, Interactions> splits, EvaluationOptions? options = null)
    {
        _catalogue = catalogue ?? throw new ArgumentNullException(nameof(catalogue));
        _options = Copy(options ?? new EvaluationOptions());
        _options.Validate();
        _sliceOfItem = PopularitySlices.Assign(catalogue.Clicks);
        _targets = new Targets(catalogue, splits, _options);
    }

    /// <summary>Number of users that are evaluated.</summary>
    public int Users => _targets.Users.Length;

    /// <summary>Evaluates a model whose catalogue has the same rows.</summary>
    /// <exception cref="BadArgumentException">The model's catalogue has other numbers of rows.</exception>
    public EvaluationReport Evaluate(TwoTowerModel model, string name = "model")
    {
        Catalogue other = model.Catalogue;
        if (other.Items.Rows != _catalogue.Items.Rows || other.Users.Rows != _catalogue.Users.Rows)
        {
            throw new BadArgumentException(
                nameof(model), $"{_catalogue.Items.Rows} items and {_catalogue.Users.Rows} users", $"{other.Items.Rows} and {other.Users.Rows}");
        }

        IRanker ranker = new ModelRanker(model);
        var bonus = new ScoreBonus(_options.ColdBonus, _options.PopularityPenalty);
        return Evaluate(bonus.IsNone ? ranker : new BonusRanker(ranker, bonus.Of(_catalogue.Clicks)), name);
    }

    /// <summary>Evaluates the ranking by training clicks, the same for everybody.</summary>
    public EvaluationReport EvaluatePopularity(Device device) => Evaluate(new PopularityRanker(device, _catalogue.Clicks), "popularity");

    /// <summary>Evaluates a random ranking for each user: what chance gives.</summary>
    public EvaluationReport EvaluateRandom(Device device) => Evaluate(new RandomRanker(device, _options.Seed), "random");

    internal EvaluationReport Evaluate(IRanker ranker, string name)
    {
        var clock = Stopwatch.StartNew();
        var collector = new MetricCollector(_catalogue, _targets, _sliceOfItem, _options.Ks);
        int d = ranker.Dimension;
        using DeviceBuffer<float> items = ranker.Device.Allocate<float>((long)_targets.Candidates.Length * d);
        ranker.Items(_targets.Candidates, items);
        for (int start = 0; start < Users; start += BlockUsers)
        {
            int count = Math.Min(BlockUsers, Users - start);
            using DeviceBuffer<float> users = ranker.Device.Allocate<float>((long)count * d);
            ranker.Users(_targets.Users.AsSpan(start, count).ToArray(), users);
            RankBlock(ranker, users, items, start, count, collector);
        }

        double seconds = clock.Elapsed.TotalSeconds;
        EvaluationReport report = Bootstrap.Report(name, Copy(_options), collector.Finish(), $"coverage@{_options.Ks[0]}");
        report.CandidateCount = _targets.Candidates.Length;
        report.SkippedPairs = _targets.Skipped;
        report.Seconds = seconds;
        return report;
    }

    /// <summary>Options that nobody else changes: an evaluation goes by those it was prepared with, and its report tells these.</summary>
    private static EvaluationOptions Copy(EvaluationOptions options) =>
        options with { Splits = (string[])options.Splits.Clone(), Ks = (int[])options.Ks.Clone() };

    private void RankBlock(IRanker ranker, DeviceBuffer<float> users, DeviceBuffer<float> items, int start, int count, MetricCollector collector)
    {
        Device device = ranker.Device;
        int[] wanted = Flatten(_targets.Wanted, start, count, out long[] wantedOffsets);
        int[] excluded = Flatten(_targets.Excluded, start, count, out long[] excludedOffsets);
        int k = Math.Min(_options.Ks[0], _targets.Candidates.Length);
        using DeviceBuffer<int> deviceWanted = device.Upload(wanted);
        using DeviceBuffer<long> deviceWantedOffsets = device.Upload(wantedOffsets);
        using DeviceBuffer<int> deviceExcluded = device.Upload(excluded);
        using DeviceBuffer<long> deviceExcludedOffsets = device.Upload(excludedOffsets);
        using DeviceBuffer<int> ranks = device.Allocate<int>(wanted.Length);
        using DeviceBuffer<int> lists = device.Allocate<int>((long)count * k);
        var arguments = new RetrievalArguments(count, _targets.Candidates.Length, ranker.Dimension, users, items, ranker.Similarity)
        {
            ExcludeOffsets = deviceExcludedOffsets,
            ExcludeItems = deviceExcluded,
        };
        Rank.Find(device, arguments, deviceWantedOffsets, deviceWanted, ranks);
        TopK.Find(device, arguments, k, lists);
        collector.Add(start, wantedOffsets, wanted, ranks.ToArray());
        collector.Cover(lists.ToArray());
    }

    private static int[] Flatten(int[][] lists, int start, int count, out long[] offsets)
    {
        offsets = new long[count + 1];
        for (int i = 0; i < count; i++)
        {
            offsets[i + 1] = offsets[i] + lists[start + i].Length;
        }

        var values = new int[offsets[count]];
        for (int i = 0; i < count; i++)
        {
            lists[start + i].CopyTo(values, (int)offsets[i]);
        }

        return values;
    }
}
