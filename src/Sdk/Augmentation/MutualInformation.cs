using Twintail.Features;
using Twintail.Ops;
using Twintail.Sampling;

namespace Twintail.Augmentation;

/// <summary>
/// Mutual information between all pairs of the item features, over the catalogue (each item counts once, whatever its clicks):
/// MI(u, v) = Σ p(u,v) log( p(u,v) / (p(u) p(v)) ) in nats, where an item counts every pair of its values once and an item without
/// values has the single value "none". It is kept up as features come: a new one costs k pair counts (and k against a permutation
/// of it, for <see cref="Relatedness.Adjusted"/>), not k².
/// </summary>
public sealed class MutualInformation
{
    private readonly List<FeatureColumn> _columns = new();
    private readonly List<double> _entropies = new();
    private readonly List<Relation[]> _relations = new(); // [a][b], b < a
    private readonly long _seed;
    private readonly int _rows;

    private MutualInformation(int rows, long seed)
    {
        _rows = rows;
        _seed = seed;
    }

    /// <summary>The features, in the order of the matrix.</summary>
    public IReadOnlyList<string> Names => _columns.ConvertAll(x => x.Name);

    /// <summary>Number of features k.</summary>
    public int Count => _columns.Count;

    /// <summary>Pair counts done so far, those against permutations included.</summary>
    public int PairCountsDone { get; private set; }

    /// <summary>Computes the matrix of all columns of a table.</summary>
    /// <param name="device">Where to count.</param>
    /// <param name="items">The catalogue.</param>
    /// <param name="seed">Seed of the permutations behind <see cref="Relatedness.Adjusted"/>.</param>
    public static MutualInformation Compute(Device device, FeatureTable items, long seed = 1)
    {
        var result = new MutualInformation(items.Rows, seed);
        foreach (FeatureColumn column in items.Columns)
        {
            result.AddFeature(device, column);
        }

        return result;
    }

    /// <summary>Entropy of a feature's values over the catalogue, in nats.</summary>
    public double Entropy(int feature) => _entropies[feature];

    /// <summary>
    /// The relation of two features, symmetric. Of a feature with itself: its entropy for <see cref="Relatedness.Plain"/>, else 1.
    /// </summary>
    public double Get(int a, int b, Relatedness measure)
    {
        if (a == b)
        {
            return measure == Relatedness.Plain ? _entropies[a] : 1;
        }

        return _relations[Math.Max(a, b)][Math.Min(a, b)].Get(measure);
    }

    /// <summary>Adds a feature by counting it against the k features that are there.</summary>
    /// <param name="device">Where to count.</param>
    /// <param name="column">The feature, one row per item.</param>
    /// <exception cref="BadArgumentException">The name is taken or the number of rows differs.</exception>
    public void AddFeature(Device device, FeatureColumn column)
    {
        if (column.Rows != _rows)
        {
            throw new BadArgumentException(nameof(column), $"{_rows} rows as the features before", $"{column.Rows} in '{column.Name}'");
        }

        if (_columns.Exists(x => x.Name == column.Name))
        {
            throw new BadArgumentException(nameof(column), "a name that is not there yet", column.Name);
        }

        FeatureColumn permuted = Permute(column, new Philox(_seed, Purpose.Permutation).Permutation(_rows, _columns.Count));
        using DeviceFeatureTable shared = Table(device, null, column, permuted);
        var relations = new Relation[_columns.Count];
        for (int other = 0; other < relations.Length; other++)
        {
            using DeviceFeatureTable table = Table(device, shared, column, permuted, _columns[other]);
            JointCounts joint = CountPair(device, table, 0, 2);
            relations[other] = new Relation(
                joint.MutualInformation, CountPair(device, table, 1, 2).MutualInformation, Math.Sqrt(joint.EntropyA * joint.EntropyB));
        }

        _columns.Add(column);
        _entropies.Add(EntropyOf(column));
        _relations.Add(relations);
    }

    /// <summary>A seed and the ⌊k/2⌋ of k features that are most related to it (the lower index where equal), ascending.</summary>
    internal static int[] MostRelated(int seed, int count, Func<int, double> relation) =>
        Enumerable.Range(0, count)
            .Where(other => other != seed)
            .OrderByDescending(relation)
            .ThenBy(other => other)
            .Take(count / 2)
            .Append(seed)
            .OrderBy(feature => feature)
            .ToArray();

    private static DeviceFeatureTable Table(Device device, DeviceFeatureTable? shared, params FeatureColumn[] columns) =>
        new(device, columns[0].Rows, Array.ConvertAll(columns, x => new FeatureBinding(x, 0)), null, shared);

    private static FeatureColumn Permute(FeatureColumn column, int[] order)
    {
        var values = new List<int>(column.Values.Length);
        long[]? offsets = column.IsMultiValued ? new long[column.Rows + 1] : null;
        for (int row = 0; row < column.Rows; row++)
        {
            foreach (int value in column.ValuesOf(order[row]))
            {
                values.Add(value);
            }

            if (offsets != null)
            {
                offsets[row + 1] = values.Count;
            }
        }

        return new FeatureColumn(column.Name + " (permuted)", column.Vocabulary, values.ToArray(), offsets);
    }

    private static double EntropyOf(FeatureColumn column)
    {
        var counts = new long[column.Vocabulary.Length];
        foreach (int value in column.Values)
        {
            counts[value]++;
        }

        for (int row = 0; row < column.Rows && column.IsMultiValued; row++)
        {
            counts[0] += column.ValuesOf(row).IsEmpty ? 1 : 0;
        }

        return JointCounts.Entropy(counts);
    }

    private JointCounts CountPair(Device device, DeviceFeatureTable table, int a, int b)
    {
        PairCountsDone++;
        PairCountsResult pairs = PairCounts.Count(device, table, a, b);
        return new JointCounts(pairs.A, pairs.B, pairs.Counts);
    }

    private readonly struct Relation
    {
        private readonly double _plain;
        private readonly double _chance;
        private readonly double _scale;

        public Relation(double plain, double chance, double scale)
        {
            _plain = plain;
            _chance = chance;
            _scale = scale;
        }

        public double Get(Relatedness measure)
        {
            switch (measure)
            {
                case Relatedness.Plain:
                    return _plain;
                case Relatedness.Normalized:
                    return _scale > 0 ? _plain / _scale : 0;
                default:
                    // Where chance alone explains all that there is to explain, nothing is known about the relation.
                    return _scale - _chance > 1e-9 * _scale ? (_plain - _chance) / (_scale - _chance) : 0;
            }
        }
    }
}
