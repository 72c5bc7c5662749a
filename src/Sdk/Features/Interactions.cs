using System;

namespace Twintail.Features;

/// <summary>Clicked pairs in log order: row numbers into the users' and the items' tables.</summary>
public sealed class Interactions
{
    /// <summary>Creates a log; all arrays are of the same length.</summary>
    /// <param name="users">User row of each click.</param>
    /// <param name="items">Item row of each click.</param>
    /// <param name="timestamps">Time of each click in any monotonic unit, or null.</param>
    /// <exception cref="ArgumentException">The lengths differ.</exception>
    public Interactions(int[] users, int[] items, long[]? timestamps = null)
    {
        Users = users ?? throw new ArgumentNullException(nameof(users));
        Items = items ?? throw new ArgumentNullException(nameof(items));
        Timestamps = timestamps;
        if (items.Length != users.Length || (timestamps != null && timestamps.Length != users.Length))
        {
            throw new ArgumentException($"items, timestamps: expected {users.Length} entries as in users, got {items.Length}, {timestamps?.Length}", nameof(items));
        }
    }

    /// <summary>User row of each click.</summary>
    public int[] Users { get; }

    /// <summary>Item row of each click.</summary>
    public int[] Items { get; }

    /// <summary>Time of each click, or null.</summary>
    public long[]? Timestamps { get; }

    /// <summary>Number of clicks.</summary>
    public int Count => Users.Length;
}
