namespace Twintail.Retrieval;

/// <summary>One item of a result list.</summary>
public readonly struct ScoredItem
{
    /// <summary>Creates an entry.</summary>
    public ScoredItem(int row, string id, float score)
    {
        Row = row;
        Id = id;
        Score = score;
    }

    /// <summary>Row in the catalogue.</summary>
    public int Row { get; }

    /// <summary>The item's external id.</summary>
    public string Id { get; }

    /// <summary>Cosine, in [-1, 1], plus the bonus of cold items where one was asked for.</summary>
    public float Score { get; }

    /// <inheritdoc/>
    public override string ToString() => FormattableString.Invariant($"{Id} ({Score:F4})");
}

/// <summary>The best items for a user, a history or an item, best first.</summary>
public sealed class Recommendation
{
    internal Recommendation(IReadOnlyList<ScoredItem> items, int unknownItems)
    {
        Items = items;
        UnknownItems = unknownItems;
    }

    /// <summary>At most k items, best first; fewer where the catalogue has no more.</summary>
    public IReadOnlyList<ScoredItem> Items { get; }

    /// <summary>Ids of the given history that the catalogue does not have; they were ignored.</summary>
    public int UnknownItems { get; }
}
