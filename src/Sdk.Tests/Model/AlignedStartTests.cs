using System.Runtime.InteropServices;
using Twintail.Features;
using Twintail.Model;
using Twintail.Storage;
using Twintail.Tests.Ops;
using Twintail.Tests.Training;
using Twintail.Training;

namespace Twintail.Tests.Model;

internal sealed class AlignedStartTests : OpFixture
{
    private static TrainingOptions Options(params int[] tower) => new()
    {
        Tower = tower,
        Dimension = 7,
        IdDimension = 5,
        FeatureDimension = 3,
        SharedEmbeddings = true,
        AlignedStart = true,
    };

    // Towers that read the same embeddings with the same weights are one function: a history of one item is that item.
    [TestCase(new int[0])]
    [TestCase(new[] { 9, 6 })]
    public void AHistoryOfOneItemHasTheVectorOfThatItem(int[] tower)
    {
        Dataset tiny = TinyData.Make();
        var users = new FeatureTable(tiny.Users.Ids, []);
        using var trainer = new Trainer(Device, new Dataset(tiny.Items, users, tiny.Splits), Options(tower));
        int[] rows = [.. Enumerable.Range(0, tiny.Items.Rows)];

        float[] items = trainer.Model.EmbedItems(rows);
        float[] histories = trainer.Model.EmbedUsers([.. rows.Select(row => new[] { row })]);

        Assert.That(items.Max(Math.Abs), Is.GreaterThan(0.1f));
        Assert.That(histories, Is.EqualTo(items).Within(1e-6f));
    }

    // The user's own columns and a part of the history shift the inputs, and every input has to find its weights.
    [TestCase(true, true)]
    [TestCase(true, false)]
    [TestCase(false, true)]
    public void EverySharedInputHasTheWeightsOfTheItemTower(bool ids, bool content)
    {
        Catalogue catalogue = Catalogue.FromDataset(TinyData.Make());
        TrainingOptions options = Options(4) with { HistoryIds = ids, HistoryContent = content };
        using var network = new Network(Device, catalogue, options);
        network.Initialize(options);
        Dictionary<string, float[]> weights = network.Weights().ToDictionary(x => x.Name, Floats);
        int country = options.FeatureDimension, id = options.IdDimension;
        int copied = network.Layout.UserWidth - country;
        int first = ids ? 0 : id;

        for (int row = 0; row < 4; row++)
        {
            float[] user = weights["user_tower.0.weight"][(row * network.Layout.UserWidth)..][country..network.Layout.UserWidth];
            float[] item = weights["item_tower.0.weight"][(row * network.Layout.ItemWidth)..][first..(first + copied)];
            Assert.That(user, Is.EqualTo(item), $"row {row}");
        }

        Assert.That(weights["user_tower.1.weight"], Is.EqualTo(weights["item_tower.1.weight"]));
        Assert.That(weights["user_tower.0.weight"][..country], Is.Not.EqualTo(weights["item_tower.0.weight"][..country]));
    }

    [Test]
    public void NeedsSharedEmbeddings()
    {
        TrainingOptions options = Options() with { SharedEmbeddings = false };

        Assert.That(Assert.Throws<BadArgumentException>(options.Validate)!.Argument, Is.EqualTo("aligned-start"));
    }

    private static float[] Floats(TensorData tensor)
    {
        var bytes = new List<byte>();
        tensor.Read((piece, count) => bytes.AddRange(piece[..count]));
        return MemoryMarshal.Cast<byte, float>(bytes.ToArray()).ToArray();
    }
}
