using System;

namespace Twintail.Features;

/// <summary>
/// One feature of a <see cref="FeatureTable"/>: value ids per row, single-valued or multi-valued (CSR), and the texts they stand for.
/// Value id 0 is the trainable default: missing, unseen and masked values alike.
/// </summary>
public sealed class FeatureColumn
{
    /// <summary>Creates a column and checks that every offset and value id is in range.</summary>
    /// <param name="name">The feature's name, unique within its table.</param>
    /// <param name="vocabulary">Text of each value id; entry 0 belongs to the default and is "".</param>
    /// <param name="values">Value ids: [rows] if single-valued, [offsets[rows]] if multi-valued.</param>
    /// <param name="offsets">[rows + 1] for a multi-valued feature, null for a single-valued one.</param>
    /// <param name="bucketEdges">Ascending upper edges of the buckets of a numeric column: value x has id 1 + (number of edges below x); null otherwise.</param>
    /// <exception cref="ArgumentException">The arrays contradict each other.</exception>
    public FeatureColumn(string name, string[] vocabulary, int[] values, long[]? offsets = null, double[]? bucketEdges = null)
    {
        Name = name ?? throw new ArgumentNullException(nameof(name));
        Vocabulary = vocabulary ?? throw new ArgumentNullException(nameof(vocabulary));
        Values = values ?? throw new ArgumentNullException(nameof(values));
        Offsets = offsets;
        BucketEdges = bucketEdges;
        if (vocabulary.Length == 0 || vocabulary[0].Length != 0)
        {
            throw new ArgumentException($"vocabulary of feature '{name}': expected \"\" as entry 0, the default", nameof(vocabulary));
        }

        for (int i = 0; i < values.Length; i++)
        {
            if ((uint)values[i] >= (uint)vocabulary.Length)
            {
                throw new ArgumentException(
                    $"values[{i}] of feature '{name}': expected an id in [0, {vocabulary.Length}), got {values[i]}", nameof(values));
            }
        }

        CheckOffsets(name, values, offsets);
    }

    /// <summary>The feature's name.</summary>
    public string Name { get; }

    /// <summary>Text of each value id; entry 0 is "" (the default).</summary>
    public string[] Vocabulary { get; }

    /// <summary>Value ids, [rows] or [Offsets[rows]].</summary>
    public int[] Values { get; }

    /// <summary>[rows + 1] for a multi-valued feature, null for a single-valued one.</summary>
    public long[]? Offsets { get; }

    /// <summary>Bucket edges of a numeric column, null for a categorical one.</summary>
    public double[]? BucketEdges { get; }

    /// <summary>Whether a row may have any number of values.</summary>
    public bool IsMultiValued => Offsets != null;

    /// <summary>Number of rows.</summary>
    public int Rows => Offsets == null ? Values.Length : Offsets.Length - 1;

    /// <summary>The value ids of one row; a missing value is an empty span (multi-valued) or id 0 (single-valued).</summary>
    public Span<int> ValuesOf(int row) => Offsets == null
        ? Values.AsSpan(row, 1)
        : Values.AsSpan((int)Offsets[row], (int)(Offsets[row + 1] - Offsets[row]));

    private static void CheckOffsets(string name, int[] values, long[]? offsets)
    {
        if (offsets == null)
        {
            return;
        }

        if (offsets.Length == 0 || offsets[0] != 0 || offsets[^1] != values.Length)
        {
            throw new ArgumentException($"offsets of feature '{name}': expected to start at 0 and end at {values.Length}", nameof(offsets));
        }

        for (int row = 0; row + 1 < offsets.Length; row++)
        {
            if (offsets[row + 1] < offsets[row])
            {
                throw new ArgumentException($"offsets[{row + 1}] of feature '{name}': expected at least {offsets[row]}, got {offsets[row + 1]}", nameof(offsets));
            }
        }
    }
}
