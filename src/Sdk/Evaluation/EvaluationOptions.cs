namespace Twintail.Evaluation;

/// <summary>Which items compete in the ranking.</summary>
public enum Candidates
{
    /// <summary>The items with a training click.</summary>
    Warm,

    /// <summary>The items without a training click that occur in the evaluated splits.</summary>
    Cold,

    /// <summary>Both.</summary>
    All,
}

/// <summary>What is evaluated and how.</summary>
public sealed record EvaluationOptions
{
    /// <summary>Splits whose clicks are to be found; several are taken together.</summary>
    public string[] Splits { get; set; } = { "test" };

    /// <summary>The competing items.</summary>
    public Candidates Candidates { get; set; } = Candidates.Warm;

    /// <summary>
    /// Added to the cosine of items without a training click, in [-2, 2]: how new items are weighed against known ones. Concerns
    /// models, not the ranking by popularity or at random.
    /// </summary>
    public float ColdBonus { get; set; }

    /// <summary>
    /// λ in [-1, 1]: λ log c is subtracted from the cosine of items with c training clicks. Around the τ of a model that was trained with
    /// logQ it divides popularity out; −τ gives it back to a model without the correction. Concerns models, as <see cref="ColdBonus"/> does.
    /// </summary>
    public float PopularityPenalty { get; set; }

    /// <summary>Lengths k at which recall is taken. The first of them is also that of NDCG and coverage.</summary>
    public int[] Ks { get; set; } = { 20, 50 };

    /// <summary>Users evaluated, drawn from those of the splits; 0: all.</summary>
    public int MaxUsers { get; set; }

    /// <summary>Resamples of the users for the intervals; 0: no intervals.</summary>
    public int BootstrapSamples { get; set; } = 1000;

    /// <summary>Seed of the resamples and of the choice of users.</summary>
    public long Seed { get; set; } = 1;

    /// <summary>Checks every value.</summary>
    /// <exception cref="BadArgumentException">The first one that is out of range.</exception>
    public void Validate()
    {
        if (Splits.Length == 0)
        {
            throw new BadArgumentException("splits", "at least one split", "none");
        }

        if (Ks.Length == 0 || !Array.TrueForAll(Ks, k => k >= 1 && k <= 4096))
        {
            throw new BadArgumentException("ks", "at least one length, each in [1, 4096]", string.Join(",", Ks));
        }

        if (MaxUsers < 0 || BootstrapSamples < 0)
        {
            throw new BadArgumentException("max_users, bootstrap_samples", "0 or more", $"{MaxUsers}, {BootstrapSamples}");
        }

        new Retrieval.ScoreBonus(ColdBonus, PopularityPenalty).Validate();
        if (!Enum.IsDefined(typeof(Candidates), Candidates))
        {
            throw new BadArgumentException("candidates", "warm, cold or all", Candidates.ToString());
        }
    }
}
