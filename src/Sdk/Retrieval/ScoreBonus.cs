namespace Twintail.Retrieval;

/// <summary>What is added to the cosine of each item when items are ranked.</summary>
/// <param name="Cold">For items without a training click; see <see cref="ColdBonus"/>.</param>
/// <param name="Penalty">On popular items; see <see cref="PopularityPenalty"/>.</param>
internal readonly record struct ScoreBonus(float Cold, float Penalty)
{
    /// <summary>Whether nothing is added to any item.</summary>
    public bool IsNone => Cold == 0 && Penalty == 0;

    /// <exception cref="BadArgumentException">One of the two is NaN or out of range.</exception>
    public void Validate()
    {
        ColdBonus.Validate(Cold);
        PopularityPenalty.Validate(Penalty);
    }

    /// <summary>The sum of both for each item.</summary>
    /// <param name="clicks">Training clicks of each item.</param>
    public float[] Of(int[] clicks)
    {
        float[] bonuses = PopularityPenalty.Bonuses(clicks, Penalty);
        for (int item = 0; item < bonuses.Length; item++)
        {
            bonuses[item] += clicks[item] == 0 ? Cold : 0;
        }

        return bonuses;
    }
}
