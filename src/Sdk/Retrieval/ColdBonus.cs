using Twintail.Ops;

namespace Twintail.Retrieval;

/// <summary>
/// A constant added to the cosine of items without a training click. Such items are scored from their features alone, on another
/// scale than items whose id was trained, so that one of the two groups crowds out the other; the constant says how much of the
/// list new items get. Warm items keep their scores. The sum is an inner product of vectors with one more dimension: unit vectors
/// with the bonus behind an item's and 1 behind a user's.
/// </summary>
internal static class ColdBonus
{
    /// <summary>2 puts every cold item before every warm one, since cosines are in [-1, 1].</summary>
    public const float Max = 2;

    /// <exception cref="BadArgumentException">The bonus is NaN or not in [-2, 2].</exception>
    public static void Validate(float bonus)
    {
        if (!(Math.Abs(bonus) <= Max))
        {
            throw new BadArgumentException("cold_bonus", "a number in [-2, 2], the range of differences of cosines", FormattableString.Invariant($"{bonus}"));
        }
    }

    /// <summary>Item vectors, each with its bonus behind.</summary>
    /// <param name="vectors">[bonuses.Length, d], of any norm.</param>
    /// <param name="bonuses">Added to the cosines.</param>
    /// <returns>[bonuses.Length, d + 1].</returns>
    public static float[] Items(float[] vectors, float[] bonuses) => Extend(vectors, bonuses.Length, item => bonuses[item]);

    /// <summary>User vectors with 1 behind each.</summary>
    /// <param name="vectors">[count, d], of any norm.</param>
    /// <param name="count">Number of users.</param>
    /// <returns>[count, d + 1].</returns>
    public static float[] Users(float[] vectors, int count) => Extend(vectors, count, _ => 1);

    private static float[] Extend(float[] vectors, int count, Func<int, float> last)
    {
        int d = count == 0 ? 0 : vectors.Length / count;
        var extended = new float[(long)count * (d + 1)];
        for (int row = 0; row < count; row++)
        {
            double squares = 0;
            for (int i = row * d; i < (row + 1) * d; i++)
            {
                squares += (double)vectors[i] * vectors[i];
            }

            // As Similarity.Cosine: a vector without direction has cosine 0 with everything.
            double norm = Math.Sqrt(squares), scale = norm < 1e-12 ? 0 : 1 / norm;
            for (int i = 0; i < d; i++)
            {
                extended[(row * (d + 1)) + i] = (float)(vectors[(row * d) + i] * scale);
            }

            extended[(row * (d + 1)) + d] = last(row);
        }

        return extended;
    }
}
