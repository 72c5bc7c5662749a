using System;
using System.Collections.Generic;

namespace Twintail.Features;

/// <summary>Everything that training and evaluation read: catalogue, users and clicks by split.</summary>
public sealed class Dataset
{
    /// <summary>Name of the split that is trained on.</summary>
    public const string Train = "train";

    /// <summary>Name of the split that steers early stopping.</summary>
    public const string Valid = "valid";

    /// <summary>Creates a data set.</summary>
    /// <param name="items">The catalogue, items without any click included.</param>
    /// <param name="users">Every user that occurs in a split; may have no columns.</param>
    /// <param name="splits">Clicks by split name ("train", "valid", "test", "test_cold", ...); "train" may be absent for evaluation.</param>
    /// <exception cref="ArgumentException">A click points outside the tables.</exception>
    public Dataset(FeatureTable items, FeatureTable users, IReadOnlyDictionary<string, Interactions> splits)
    {
        Items = items ?? throw new ArgumentNullException(nameof(items));
        Users = users ?? throw new ArgumentNullException(nameof(users));
        Splits = splits ?? throw new ArgumentNullException(nameof(splits));
        foreach (KeyValuePair<string, Interactions> split in splits)
        {
            CheckRows(split.Key, "users", split.Value.Users, users.Rows);
            CheckRows(split.Key, "items", split.Value.Items, items.Rows);
        }
    }

    /// <summary>The catalogue.</summary>
    public FeatureTable Items { get; }

    /// <summary>The users.</summary>
    public FeatureTable Users { get; }

    /// <summary>Clicks by split name.</summary>
    public IReadOnlyDictionary<string, Interactions> Splits { get; }

    private static void CheckRows(string split, string name, int[] rows, int count)
    {
        for (int i = 0; i < rows.Length; i++)
        {
            if ((uint)rows[i] >= (uint)count)
            {
                throw new ArgumentException($"splits['{split}'].{name}[{i}]: expected a row in [0, {count}), got {rows[i]}");
            }
        }
    }
}
