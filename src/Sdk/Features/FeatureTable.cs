using System;
using System.Collections.Generic;

namespace Twintail.Features;

/// <summary>Rows (items or users) with an external id each and any number of features.</summary>
public sealed class FeatureTable
{
    private readonly Dictionary<string, int> _rowOf;

    /// <summary>Creates a table.</summary>
    /// <param name="ids">External id of each row, unique.</param>
    /// <param name="columns">The features, each with as many rows as there are ids.</param>
    /// <exception cref="ArgumentException">An id or a feature name repeats, or a column's length differs.</exception>
    public FeatureTable(string[] ids, IReadOnlyList<FeatureColumn> columns)
    {
        Ids = ids ?? throw new ArgumentNullException(nameof(ids));
        Columns = columns ?? throw new ArgumentNullException(nameof(columns));
        _rowOf = new Dictionary<string, int>(ids.Length, StringComparer.Ordinal);
        for (int row = 0; row < ids.Length; row++)
        {
            if (!_rowOf.TryAdd(ids[row], row))
            {
                throw new ArgumentException($"ids[{row}]: expected unique ids, got '{ids[row]}' again", nameof(ids));
            }
        }

        var names = new HashSet<string>(StringComparer.Ordinal);
        foreach (FeatureColumn column in columns)
        {
            if (column.Rows != ids.Length)
            {
                throw new ArgumentException($"columns: expected {ids.Length} rows in '{column.Name}', got {column.Rows}", nameof(columns));
            }

            if (!names.Add(column.Name))
            {
                throw new ArgumentException($"columns: expected unique names, got '{column.Name}' again", nameof(columns));
            }
        }
    }

    /// <summary>External id of each row.</summary>
    public string[] Ids { get; }

    /// <summary>The features.</summary>
    public IReadOnlyList<FeatureColumn> Columns { get; }

    /// <summary>Number of rows.</summary>
    public int Rows => Ids.Length;

    /// <summary>The row of an external id, or -1.</summary>
    public int RowOf(string id) => _rowOf.TryGetValue(id, out int row) ? row : -1;
}
