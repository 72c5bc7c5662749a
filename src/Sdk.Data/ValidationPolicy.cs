using System.Globalization;

namespace Twintail.Data;

/// <summary>How validation clicks are taken from the training clicks.</summary>
public enum ValidationKind
{
    /// <summary>No validation clicks.</summary>
    None,

    /// <summary>The last item of every user with at least two different items; earlier clicks of the user on that item go with it.</summary>
    LastItem,

    /// <summary>The last part of all clicks by time.</summary>
    Time,
}

/// <summary>A way to choose validation clicks: <c>last-item</c>, <c>time:0.1</c> or <c>none</c>.</summary>
/// <param name="Kind">Which rule.</param>
/// <param name="Share">Share of the clicks, for <see cref="ValidationKind.Time"/>.</param>
public sealed record ValidationPolicy(ValidationKind Kind, double Share = 0)
{
    /// <summary>No validation.</summary>
    public static ValidationPolicy None { get; } = new(ValidationKind.None);

    /// <summary>The last item of each user.</summary>
    public static ValidationPolicy LastItem { get; } = new(ValidationKind.LastItem);

    /// <summary>Reads <c>last-item</c>, <c>time:SHARE</c> or <c>none</c>.</summary>
    /// <exception cref="FormatException">The text is none of them, or the share is outside (0, 1).</exception>
    public static ValidationPolicy Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        switch (text)
        {
            case "none":
                return None;
            case "last-item":
                return LastItem;
        }

        if (text.StartsWith("time:", StringComparison.Ordinal)
            && double.TryParse(text.AsSpan(5), NumberStyles.Float, CultureInfo.InvariantCulture, out double share)
            && share is > 0 and < 1)
        {
            return new ValidationPolicy(ValidationKind.Time, share);
        }

        throw new FormatException($"validation: expected last-item, none or time:SHARE with a share between 0 and 1, got '{text}'");
    }

    /// <summary>The form that <see cref="Parse"/> reads.</summary>
    public override string ToString() => Kind switch
    {
        ValidationKind.None => "none",
        ValidationKind.LastItem => "last-item",
        _ => "time:" + Share.ToString("R", CultureInfo.InvariantCulture),
    };
}
