namespace Twintail.Retrieval;

/// <summary>
/// λ log c, subtracted from the cosine of an item with c training clicks. A model that was trained with logQ ranks by
/// cos / τ = log p(item | user) up to a constant of the user, so that λ = τ leaves log p(item | user) / p(item), affinity with
/// popularity divided out, and what lies between is a choice. A model without the correction learns the latter at once, and λ = −τ
/// gives popularity back to it. So models with and without it can be compared at the same place between head and tail.
/// </summary>
internal static class PopularityPenalty
{
    /// <summary>Where cosines count for little: one natural logarithm of the clicks weighs as much as half the range of cosines.</summary>
    public const float Max = 1;

    /// <exception cref="BadArgumentException">The penalty is NaN or not in [-1, 1].</exception>
    public static void Validate(float penalty)
    {
        if (!(Math.Abs(penalty) <= Max))
        {
            throw new BadArgumentException("popularity_penalty", "a number in [-1, 1]", FormattableString.Invariant($"{penalty}"));
        }
    }

    /// <summary>What is added to the cosine of each item; an item without a click counts as one with a single click.</summary>
    public static float[] Bonuses(int[] clicks, float penalty) =>
        Array.ConvertAll(clicks, count => (float)(-penalty * Math.Log(Math.Max(count, 1))));
}
