using Twintail.Storage;

namespace Twintail.Evaluation;

/// <summary>A mean with its 95 % bootstrap interval over users; the bounds are NaN where there is none.</summary>
public readonly struct Estimate
{
    /// <summary>Creates an estimate.</summary>
    public Estimate(double value, double low, double high)
    {
        Value = value;
        Low = low;
        High = high;
    }

    /// <summary>The mean; NaN where the slice is empty.</summary>
    public double Value { get; }

    /// <summary>2.5 % quantile.</summary>
    public double Low { get; }

    /// <summary>97.5 % quantile.</summary>
    public double High { get; }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Value:F4} [{Low:F4}, {High:F4}]");
}

/// <summary>Metrics over the clicks of one popularity slice.</summary>
public sealed class SliceReport
{
    internal SliceReport(string name, int users, int pairs, int items, IReadOnlyList<KeyValuePair<string, Estimate>> metrics)
    {
        Name = name;
        Users = users;
        Pairs = pairs;
        Items = items;
        Metrics = metrics;
    }

    /// <summary>"all", "head", "mid", "tail" or "cold".</summary>
    public string Name { get; }

    /// <summary>Users with at least one click in the slice.</summary>
    public int Users { get; }

    /// <summary>Clicks (user, item) to be found.</summary>
    public int Pairs { get; }

    /// <summary>Candidate items that belong to the slice.</summary>
    public int Items { get; }

    /// <summary>Metrics in a fixed order: "recall@20", "recall@50", "ndcg@20", "mrr", "coverage@20".</summary>
    public IReadOnlyList<KeyValuePair<string, Estimate>> Metrics { get; }

    /// <summary>One metric by name.</summary>
    /// <exception cref="BadArgumentException">There is no such metric.</exception>
    public Estimate this[string metric]
    {
        get
        {
            foreach (KeyValuePair<string, Estimate> entry in Metrics)
            {
                if (entry.Key == metric)
                {
                    return entry.Value;
                }
            }

            throw new BadArgumentException("metric", string.Join(", ", Metrics.Select(x => x.Key)), metric);
        }
    }

    /// <summary>Recall at k: hits / min(k, relevant), mean over users.</summary>
    public Estimate Recall(int k) => this[$"recall@{k}"];
}

/// <summary>Quality of one ranking, overall and by slice of popularity.</summary>
public sealed class EvaluationReport
{
    internal EvaluationReport(string name, EvaluationOptions options, IReadOnlyList<SliceReport> slices, UserValues values)
    {
        Name = name;
        Options = options;
        Slices = slices;
        Values = values;
    }

    /// <summary>What was evaluated: a model's name, "popularity" or "random".</summary>
    public string Name { get; }

    /// <summary>How it was evaluated.</summary>
    public EvaluationOptions Options { get; }

    /// <summary>"all" first, then those of head, mid, tail and cold that have clicks to be found.</summary>
    public IReadOnlyList<SliceReport> Slices { get; }

    /// <summary>Items that competed.</summary>
    public int CandidateCount { get; internal set; }

    /// <summary>Clicks of the splits left out, since their item is no candidate or the user has it in the training clicks.</summary>
    public int SkippedPairs { get; internal set; }

    /// <summary>Seconds that scoring and ranking took.</summary>
    public double Seconds { get; internal set; }

    /// <summary>Values of single users, for resampling and comparison.</summary>
    internal UserValues Values { get; }

    /// <summary>A slice by name.</summary>
    /// <exception cref="BadArgumentException">The report has no such slice.</exception>
    public SliceReport this[string slice] => Find(slice)
        ?? throw new BadArgumentException("slice", string.Join(", ", Slices.Select(x => x.Name)), slice);

    /// <summary>A slice by name, or null where it has no clicks.</summary>
    public SliceReport? Find(string slice) => Slices.FirstOrDefault(x => x.Name == slice);

    /// <summary>
    /// The difference this − other, user by user over the users that both reports have, with bootstrap intervals of the mean
    /// difference. An interval without 0 is a difference that the choice of users does not explain.
    /// </summary>
    /// <exception cref="BadArgumentException">The reports were made with different splits, candidates or ks, or share no user.</exception>
    public EvaluationReport Against(EvaluationReport other) => Bootstrap.Difference(this, other);

    /// <summary>The report as JSON.</summary>
    public string ToJson() => JsonText.Write(ToJsonObject(), indented: true);

    internal JsonObject ToJsonObject()
    {
        var slices = new JsonObject();
        foreach (SliceReport slice in Slices)
        {
            var entry = new JsonObject { ["users"] = slice.Users, ["pairs"] = slice.Pairs, ["items"] = slice.Items };
            foreach (KeyValuePair<string, Estimate> metric in slice.Metrics)
            {
                entry[metric.Key] = new JsonObject
                {
                    ["value"] = metric.Value.Value,
                    ["low"] = metric.Value.Low,
                    ["high"] = metric.Value.High,
                };
            }

            slices[slice.Name] = entry;
        }

        return new JsonObject
        {
            ["name"] = Name,
            ["splits"] = Options.Splits,
            ["candidates"] = Options.Candidates.ToString().ToLowerInvariant(),
            ["cold_bonus"] = Options.ColdBonus,
            ["popularity_penalty"] = Options.PopularityPenalty,
            ["candidate_count"] = CandidateCount,
            ["skipped_pairs"] = SkippedPairs,
            ["seconds"] = Seconds,
            ["slices"] = slices,
        };
    }
}
