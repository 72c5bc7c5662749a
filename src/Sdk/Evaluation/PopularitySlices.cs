namespace Twintail.Evaluation;

/// <summary>
/// Slices of the catalogue by training clicks: head = the most-clicked items that hold 50 % of the clicks, mid = the next 30 %,
/// tail = the last 20 %, cold = no click. An item belongs to the slice in which its first click falls.
/// </summary>
public static class PopularitySlices
{
    /// <summary>Names in the order of the indices that <see cref="Assign"/> gives.</summary>
    public static IReadOnlyList<string> Names { get; } = new[] { "head", "mid", "tail", "cold" };

    /// <summary>Index of each item's slice: 0 head, 1 mid, 2 tail, 3 cold.</summary>
    /// <param name="clicks">Training clicks of each item.</param>
    public static int[] Assign(IReadOnlyList<int> clicks)
    {
        int[] order = Enumerable.Range(0, clicks.Count).OrderByDescending(item => clicks[item]).ThenBy(item => item).ToArray();
        double total = clicks.Sum(x => (double)x);
        double before = 0;
        var slices = new int[clicks.Count];
        foreach (int item in order)
        {
            slices[item] = clicks[item] == 0 ? 3 : before < 0.5 * total ? 0 : before < 0.8 * total ? 1 : 2;
            before += clicks[item];
        }

        return slices;
    }
}
