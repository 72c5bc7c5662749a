using Twintail.Features;

namespace Twintail.Data.Ingest;

/// <summary>Turns collected texts into a feature: with a vocabulary of its own, or with that of an earlier data set.</summary>
internal static class ColumnEncoder
{
    /// <summary>
    /// A feature with its own vocabulary: value ids by falling number of rows, equal numbers by text, so that they depend on the data alone
    /// and the rows that are read most lie together.
    /// </summary>
    /// <param name="column">The values read.</param>
    /// <param name="options">Buckets, rare values, and which columns are numbers.</param>
    /// <param name="kind">What the feature turned out to be.</param>
    /// <param name="refuse">Makes the error of the text that is no number.</param>
    public static FeatureColumn Fit(TokenColumn column, DatasetOptions options, out ColumnKind kind, Func<int, DatasetException> refuse)
    {
        int[] counts = column.Counts();
        int offender = -1;
        double[]? numbers = options.Categorical.Contains(column.Name)
            ? null
            : ColumnTyping.Numbers(column, counts, options.Numeric.Contains(column.Name), out offender);
        if (offender >= 0)
        {
            throw refuse(offender);
        }

        if (numbers != null && column.IsMultiValued)
        {
            throw new DatasetException("expected one number in each row, but some rows hold several", column: column.Name);
        }

        if (numbers == null)
        {
            kind = column.IsMultiValued ? ColumnKind.MultiValued : ColumnKind.Categorical;
            return Categories(column, counts, options.MinValueCount);
        }

        kind = ColumnKind.Numeric;
        return Buckets(column, numbers, Quantiles.Edges(Repeat(numbers, counts), options.Buckets));
    }

    /// <summary>A feature with the vocabulary of <paramref name="model"/>: texts unknown there are treated as missing.</summary>
    public static FeatureColumn Encode(TokenColumn column, FeatureColumn model, Func<int, DatasetException> refuse)
    {
        if (model.BucketEdges is { } edges)
        {
            var numbers = new double[column.Texts.Count];
            for (int i = 0; i < numbers.Length; i++)
            {
                if (!ColumnTyping.TryParse(column.Texts[i], out numbers[i]))
                {
                    throw refuse(i);
                }
            }

            return Buckets(column, numbers, edges);
        }

        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int id = 1; id < model.Vocabulary.Length; id++)
        {
            ids[model.Vocabulary[id]] = id;
        }

        var idOf = new int[column.Texts.Count];
        for (int i = 0; i < idOf.Length; i++)
        {
            idOf[i] = ids.GetValueOrDefault(column.Texts.Text(i));
        }

        if (column.IsMultiValued && !model.IsMultiValued)
        {
            throw new DatasetException("several values in a row, but the model knows this feature with one value", column: column.Name);
        }

        return column.Build(idOf, model.Vocabulary, model.IsMultiValued, null);
    }

    private static FeatureColumn Categories(TokenColumn column, int[] counts, int least)
    {
        var texts = new string[counts.Length];
        for (int i = 0; i < texts.Length; i++)
        {
            texts[i] = column.Texts.Text(i);
        }

        int[] order = Enumerable.Range(0, counts.Length).Where(i => counts[i] >= least).ToArray();
        Array.Sort(order, (a, b) => counts[a] != counts[b] ? counts[b].CompareTo(counts[a]) : string.CompareOrdinal(texts[a], texts[b]));
        var idOf = new int[counts.Length];
        var vocabulary = new string[order.Length + 1];
        vocabulary[0] = "";
        for (int id = 1; id <= order.Length; id++)
        {
            idOf[order[id - 1]] = id;
            vocabulary[id] = texts[order[id - 1]];
        }

        return column.Build(idOf, vocabulary, column.IsMultiValued, null);
    }

    private static FeatureColumn Buckets(TokenColumn column, double[] numbers, double[] edges)
    {
        int[] idOf = Array.ConvertAll(numbers, number => Quantiles.Bucket(edges, number));
        return column.Build(idOf, Quantiles.Labels(edges), false, edges);
    }

    private static double[] Repeat(double[] numbers, int[] counts)
    {
        var all = new List<double>();
        for (int i = 0; i < numbers.Length; i++)
        {
            for (int k = 0; k < counts[i] && !double.IsNaN(numbers[i]); k++)
            {
                all.Add(numbers[i]);
            }
        }

        double[] sorted = [.. all];
        Array.Sort(sorted);
        return sorted;
    }
}
