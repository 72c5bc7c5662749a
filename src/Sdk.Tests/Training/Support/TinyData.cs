using Twintail.Features;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Training;

/// <summary>Small synthetic data sets with tastes: users click items of their own taste, and the features tell an item's taste.</summary>
internal static class TinyData
{
    /// <summary>Makes a data set with splits train, valid and test, and cold items that only features describe.</summary>
    public static Dataset Make(int users = 60, int items = 80, int clicksPerUser = 8, int tastes = 4, int coldItems = 10, int seed = 1)
    {
        var random = new Random(seed);
        int[] taste = [.. Enumerable.Range(0, items).Select(i => i % tastes)];
        FeatureTable itemTable = Items(random, taste, tastes);
        var userTable = new FeatureTable(
            [.. Enumerable.Range(0, users).Select(u => $"u{u}")],
            [new FeatureColumn("country", ["", "x", "y"], [.. Enumerable.Range(0, users).Select(u => u % 3)])]);
        var splits = new Dictionary<string, (List<int> Users, List<int> Items)>
        {
            ["train"] = ([], []),
            ["valid"] = ([], []),
            ["test"] = ([], []),
            ["test_cold"] = ([], []),
        };
        for (int user = 0; user < users; user++)
        {
            int[] own = [.. Enumerable.Range(0, items - coldItems).Where(i => taste[i] == user % tastes)];
            var clicked = new HashSet<int>();
            while (clicked.Count < clicksPerUser)
            {
                // Popular items first: squares of uniform numbers crowd near 0. One click in ten is noise.
                double u = random.NextDouble();
                clicked.Add(random.Next(10) == 0 ? random.Next(items - coldItems) : own[(int)(u * u * own.Length)]);
            }

            int at = 0;
            foreach (int item in clicked.OrderBy(_ => random.Next()))
            {
                (List<int> u, List<int> i) = splits[at == 0 ? "test" : at == 1 ? "valid" : "train"];
                u.Add(user);
                i.Add(item);
                at++;
            }

            splits["test_cold"].Users.Add(user);
            splits["test_cold"].Items.Add(Enumerable.Range(items - coldItems, coldItems).First(i => taste[i] == user % tastes));
        }

        return new Dataset(
            itemTable, userTable, splits.ToDictionary(x => x.Key, x => new Interactions([.. x.Value.Users], [.. x.Value.Items])));
    }

    private static FeatureTable Items(Random random, int[] taste, int tastes)
    {
        int items = taste.Length;
        string[] tasteNames = ["", .. Enumerable.Range(0, tastes).Select(t => $"taste{t}")];
        var tags = new List<int>();
        long[] offsets = new long[items + 1];
        for (int item = 0; item < items; item++)
        {
            for (int i = random.Next(4); i > 0; i--)
            {
                tags.Add(1 + (random.Next(2) == 0 ? taste[item] : random.Next(tastes + 4)));
            }

            offsets[item + 1] = tags.Count;
        }

        return new FeatureTable(
            [.. Enumerable.Range(0, items).Select(i => $"i{i}")],
            [
                new FeatureColumn("kind", tasteNames, [.. taste.Select(t => random.Next(10) == 0 ? 0 : t + 1)]),
                new FeatureColumn("tags", ["", .. Enumerable.Range(0, tastes + 4).Select(t => $"tag{t}")], [.. tags], offsets),
                new FeatureColumn("year", ["", .. Enumerable.Range(0, 5).Select(t => $"{2000 + t}")], [.. taste.Select(_ => random.Next(6))]),
            ]);
    }
}
