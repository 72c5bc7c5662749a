using System.Globalization;
using Twintail.Features;

namespace Twintail.Model;

/// <summary>Turns the features of users that the catalogue lacks into its value ids, as reading a file would.</summary>
internal static class GivenFeature
{
    /// <summary>A column with the vocabulary of the catalogue's.</summary>
    /// <param name="known">The catalogue's column.</param>
    /// <param name="given">The users' column of that name; null: all values are unknown.</param>
    /// <param name="rows">Number of users.</param>
    /// <exception cref="BadArgumentException">The catalogue's column is numeric and a text is no number.</exception>
    public static FeatureColumn Translate(FeatureColumn known, FeatureColumn? given, int rows)
    {
        if (given == null)
        {
            return known.IsMultiValued
                ? new FeatureColumn(known.Name, known.Vocabulary, Array.Empty<int>(), new long[rows + 1])
                : new FeatureColumn(known.Name, known.Vocabulary, new int[rows]);
        }

        CheckBuckets(known, given);
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int id = 1; id < known.Vocabulary.Length; id++)
        {
            ids[known.Vocabulary[id]] = id;
        }

        var values = new List<int>();
        var offsets = new long[rows + 1];
        for (int row = 0; row < rows; row++)
        {
            Span<int> own = given.ValuesOf(row);
            int limit = known.IsMultiValued ? own.Length : 1;
            for (int i = 0; i < limit; i++)
            {
                values.Add(i < own.Length ? Id(known, ids, given.Vocabulary[own[i]], row) : 0);
            }

            offsets[row + 1] = values.Count;
        }

        return new FeatureColumn(known.Name, known.Vocabulary, values.ToArray(), known.IsMultiValued ? offsets : null);
    }

    // The numbers behind other buckets are lost: their texts are intervals.
    private static void CheckBuckets(FeatureColumn known, FeatureColumn given)
    {
        if (known.BucketEdges != null && given.BucketEdges != null && !known.BucketEdges.AsSpan().SequenceEqual(given.BucketEdges))
        {
            throw new BadArgumentException(
                $"features, column '{known.Name}'", "numbers as texts, or the buckets of the catalogue", "buckets with other edges");
        }
    }

    private static int Id(FeatureColumn known, Dictionary<string, int> ids, string text, int row)
    {
        // The catalogue's own buckets come as their texts.
        if (ids.TryGetValue(text, out int id) || known.BucketEdges == null || text.Length == 0)
        {
            return id;
        }

        // What is a number at ingest is one here: NaN is a missing value, infinities are errors.
        if (!double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out double number) || double.IsInfinity(number))
        {
            throw new BadArgumentException($"features, column '{known.Name}', row {row}", "a number, as in the catalogue", $"'{text}'");
        }

        return double.IsNaN(number) ? 0 : Bucket(known.BucketEdges, number);
    }

    /// <summary>1 + the number of edges below a number.</summary>
    private static int Bucket(double[] edges, double number)
    {
        int index = Array.BinarySearch(edges, number);
        return 1 + (index >= 0 ? index : ~index);
    }
}
