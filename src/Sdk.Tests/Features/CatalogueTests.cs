using Twintail.Features;
using Twintail.Storage;
using Twintail.Tests.Ops;
using Twintail.Tests.Training;

namespace Twintail.Tests.Features;

internal sealed class CatalogueTests
{
    private static FeatureTable Table(params string[] ids) => new(ids, []);

    [Test]
    public void HistoriesAreInTheOrderOfTime()
    {
        // User a clicks z at 3, x at 1 and again y at 1 (later in the log); user b clicks x.
        var clicks = new Interactions([0, 0, 1, 0], [2, 0, 0, 1], [3, 1, 9, 1]);
        var dataset = new Dataset(Table("x", "y", "z"), Table("a", "b", "c"), new Dictionary<string, Interactions> { ["train"] = clicks });

        Catalogue catalogue = Catalogue.FromDataset(dataset);

        Assert.That(catalogue.HistoryOf(0).ToArray(), Is.EqualTo(new[] { 0, 1, 2 }));
        Assert.That(catalogue.HistoryOf(1).ToArray(), Is.EqualTo(new[] { 0 }));
        Assert.That(catalogue.HistoryOf(2).ToArray(), Is.Empty);
        Assert.That(catalogue.Clicks, Is.EqualTo(new[] { 2, 1, 1 }));
    }

    [Test]
    public void ClicksOfALogAreMappedAndUnknownOnesCounted()
    {
        var catalogue = new Catalogue(Table("x", "y"), Table("a", "b"), [0, 0, 0], []);

        Interactions clicks = catalogue.Map(["b", "nobody", "a", "a"], ["y", "x", "nothing", "x"], out int unknown);

        Assert.That(clicks.Users, Is.EqualTo(new[] { 1, 0 }));
        Assert.That(clicks.Items, Is.EqualTo(new[] { 1, 0 }));
        Assert.That(unknown, Is.EqualTo(2));
    }

    [Test]
    public void RefusesHistoriesThatDoNotFit()
    {
        Assert.Throws<BadArgumentException>(() => _ = new Catalogue(Table("x"), Table("a"), [0, 2], [0]));
        Assert.Throws<BadArgumentException>(() => _ = new Catalogue(Table("x"), Table("a", "b"), [0, 1, 0], []));
        Assert.Throws<BadArgumentException>(() => _ = new Catalogue(Table("x"), Table("a"), [0, 1], [1]));
    }

    [Test]
    public void SurvivesItsFile()
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.safetensors");
        FeatureColumn price = new("price ä", ["", "1-2", "日本"], [1, 2, 0, 1], null, [1.5, double.MaxValue]);
        FeatureColumn tags = new("tags", ["", "a"], [1, 1, 1], [0, 0, 2, 2, 3]);
        var catalogue = new Catalogue(new FeatureTable(["x", "", "ü", "w"], [price, tags]), Table("a", "b"), [0, 2, 3], [3, 3, 0]);
        try
        {
            CatalogueFile.Write(new AtomicFile(), path, catalogue);
            Catalogue back = CatalogueFile.Read(path);

            Assert.That(back.Items.Ids, Is.EqualTo(catalogue.Items.Ids));
            Assert.That(back.Users.Ids, Is.EqualTo(catalogue.Users.Ids));
            Assert.That(back.HistoryItems, Is.EqualTo(catalogue.HistoryItems));
            Assert.That(back.HistoryOffsets, Is.EqualTo(catalogue.HistoryOffsets));
            Assert.That(back.Clicks, Is.EqualTo(new[] { 1, 0, 0, 2 }));
            for (int c = 0; c < 2; c++)
            {
                FeatureColumn column = back.Items.Columns[c], original = catalogue.Items.Columns[c];
                Assert.That(column.Name, Is.EqualTo(original.Name));
                Assert.That(column.Vocabulary, Is.EqualTo(original.Vocabulary));
                Assert.That(column.Values, Is.EqualTo(original.Values));
                Assert.That(column.Offsets, Is.EqualTo(original.Offsets));
                Assert.That(column.BucketEdges, Is.EqualTo(original.BucketEdges));
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Test]
    public void AFileOfAnotherKindIsRefused()
    {
        string path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.safetensors");
        new AtomicFile().Write(path, stream => SafetensorsWriter.Write(stream, [TensorData.Of("w", new[] { 1f })]));
        try
        {
            Assert.That(Assert.Throws<CorruptFileException>(() => CatalogueFile.Read(path))!.Message, Does.Contain("twintail-catalogue-1"));
        }
        finally
        {
            File.Delete(path);
        }
    }
}
