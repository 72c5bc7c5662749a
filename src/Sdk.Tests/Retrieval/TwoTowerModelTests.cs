using Twintail.Features;
using Twintail.Model;
using Twintail.Retrieval;
using Twintail.Storage;
using Twintail.Tests.Ops;
using Twintail.Tests.Training;
using Twintail.Training;

namespace Twintail.Tests.Retrieval;

internal sealed class TwoTowerModelTests : TrainerFixture
{
    private Trainer Trained(TrainingOptions? options = null)
    {
        var trainer = new Trainer(Device, Data(), options ?? Small());
        trainer.Run();
        return trainer;
    }

    [Test]
    public void AStoredModelGivesTheSameBits()
    {
        using Trainer trainer = Trained();
        trainer.Model.Save(Folder("model"));

        using TwoTowerModel loaded = TwoTowerModel.Load(Device, Folder("model"));

        int[] items = [.. Enumerable.Range(0, loaded.Catalogue.Items.Rows)];
        int[] users = [.. Enumerable.Range(0, loaded.Catalogue.Users.Rows)];
        Assert.That(loaded.EmbedItems(items), Is.EqualTo(trainer.Model.EmbedItems(items)));
        Assert.That(loaded.EmbedUsers(users), Is.EqualTo(trainer.Model.EmbedUsers(users)));
        Assert.That(loaded.Options.ToJson(), Is.EqualTo(trainer.Options.ToJson()));
        Assert.That(TwoTowerModel.Exists(Folder("model")));
        Assert.That(TwoTowerModel.Exists(Folder("other")), Is.False);
    }

    [Test]
    public void VectorsAreOfUnitLengthAndDoNotDependOnTheirCompany()
    {
        using Trainer trainer = Trained();
        float[] all = trainer.Model.EmbedUsers([0, 1, 2, 3]);

        // A product of one row may be summed in another order than one of four.
        Assert.That(trainer.Model.EmbedUsers([2]), Is.EqualTo(all[16..24]).Within(1e-6f));
        for (int user = 0; user < 4; user++)
        {
            Assert.That(all.Skip(8 * user).Take(8).Sum(x => (double)x * x), Is.EqualTo(1).Within(1e-6));
        }
    }

    [Test]
    public void RecommendationsAreTheBestCosinesWithoutTheHistory()
    {
        using Trainer trainer = Trained();
        TwoTowerModel model = trainer.Model;
        float[] user = model.EmbedUsers([7]);
        float[] items = model.EmbedItems([.. Enumerable.Range(0, 80)]);
        double Score(int item) => user.Select((x, i) => (double)x * items[(item * 8) + i]).Sum();
        int[] history = model.Catalogue.HistoryOf(7).ToArray();
        int[] expected = [.. Enumerable.Range(0, 80).Except(history).OrderByDescending(Score).Take(5)];

        Recommendation result = model.Recommend("u7", 5);

        Assert.That(result.Items.Select(x => x.Row), Is.EqualTo(expected));
        Assert.That(result.Items.Select(x => x.Id), Is.EqualTo(expected.Select(x => $"i{x}")));
        Assert.That(result.Items.Select(x => (double)x.Score), Is.EqualTo(expected.Select(Score)).Within(1e-5));
        Assert.That(model.Recommend("u7", 80, excludeHistory: false).Items, Has.Count.EqualTo(80));
        Assert.That(model.Recommend("u7", 80).Items, Has.Count.EqualTo(80 - history.Distinct().Count()));
    }

    [Test]
    public void AnUnseenUserWithTheSameHistoryAndFeaturesGetsTheSame()
    {
        using Trainer trainer = Trained();
        TwoTowerModel model = trainer.Model;
        int[] history = model.Catalogue.HistoryOf(7).ToArray(); // user 7 is of country 7 % 3 = 1, "x"
        var features = new FeatureTable(["new"], [new FeatureColumn("country", ["", "z", "x"], [2])]);

        Recommendation known = model.Recommend("u7", 10);
        Recommendation unseen = model.Recommend([.. history.Select(x => $"i{x}"), "unheard of"], 10, features: features);

        Assert.That(unseen.Items.Select(x => x.ToString()), Is.EqualTo(known.Items.Select(x => x.ToString())));
        Assert.That(unseen.UnknownItems, Is.EqualTo(1));
        Assert.That(known.UnknownItems, Is.Zero);
        Assert.That(model.EmbedUsers([history], features), Is.EqualTo(model.EmbedUsers([7])));
        Assert.That(model.EmbedUsers([history]), Is.Not.EqualTo(model.EmbedUsers([7])), "without the country");
    }

    [Test]
    public void AnEmptyHistoryStillGetsRecommendations()
    {
        using Trainer trainer = Trained();
        Assert.That(trainer.Model.Recommend(Array.Empty<string>(), 3).Items, Has.Count.EqualTo(3));
        Assert.That(trainer.Model.Recommend(["unheard of"], 3).UnknownItems, Is.EqualTo(1));
    }

    [Test]
    public void ShortHistoriesReadTheLatestClicksOnly()
    {
        using Trainer trainer = Trained(Small() with { HistoryLength = 2, Epochs = 1 });
        TwoTowerModel model = trainer.Model;

        Assert.That(model.EmbedUsers([[1, 2, 3, 4]]), Is.EqualTo(model.EmbedUsers([[3, 4]])));
        Assert.That(model.EmbedUsers([[1, 2, 3, 4]]), Is.Not.EqualTo(model.EmbedUsers([[1, 2]])));
    }

    [Test]
    public void SimilarItemsLeaveTheItemItselfOut()
    {
        using Trainer trainer = Trained();
        TwoTowerModel model = trainer.Model;
        float[] items = model.EmbedItems([.. Enumerable.Range(0, 80)]);
        double Score(int item) => Enumerable.Range(0, 8).Sum(i => (double)items[(5 * 8) + i] * items[(item * 8) + i]);

        Recommendation result = model.Similar("i5", 4);

        Assert.That(result.Items.Select(x => x.Row), Is.EqualTo(Enumerable.Range(0, 80).Where(x => x != 5).OrderByDescending(Score).Take(4)));
    }

    [Test]
    public void RefusesWhatTheCatalogueLacks()
    {
        using Trainer trainer = Trained(Small() with { Epochs = 1 });
        TwoTowerModel model = trainer.Model;

        Refused("userId", () => model.Recommend("nobody", 3));
        Refused("itemId", () => model.Similar("nothing", 3));
        Refused("rows[1]", () => model.EmbedItems([0, 80]));
        Refused("rows[0]", () => model.EmbedUsers([-1]));
        Refused("histories[0][1]", () => model.EmbedUsers([[0, 80]]));
        Refused("features", () => model.EmbedUsers([[0]], new FeatureTable([], [])));
        Assert.Throws<BadArgumentException>(() => model.Recommend("u1", 0));
        Assert.Throws<BadArgumentException>(() => model.Recommend("u1", 4097));
    }

    [TestCase("33", "20 – 40")]
    [TestCase("20", "≤ 20")]
    [TestCase("4.05e1", "> 40")]
    [TestCase("nan", "")]
    public void NumbersOfUnseenUsersFallIntoTheBuckets(string number, string bucket)
    {
        using Trainer trainer = WithAges();
        TwoTowerModel model = trainer.Model;

        float[] vector = model.EmbedUsers([[1, 2]], Age(number));

        Assert.That(vector, Is.EqualTo(model.EmbedUsers([[1, 2]], Age(bucket))));
        string other = bucket == "> 40" ? "≤ 20" : "> 40";
        Assert.That(vector, Is.Not.EqualTo(model.EmbedUsers([[1, 2]], Age(other))), other);
        Assert.That(
            model.Recommend(["i1", "i2"], 5, features: Age(number)).Items.Select(x => x.ToString()),
            Is.EqualTo(model.Recommend(["i1", "i2"], 5, features: Age(bucket)).Items.Select(x => x.ToString())));
    }

    [Test]
    public void RefusesFeaturesOfUnseenUsersThatDoNotFit()
    {
        using Trainer trainer = WithAges();
        TwoTowerModel model = trainer.Model;

        BadArgumentException error = Refused("features, column 'age', row 0", () => model.EmbedUsers([[1]], Age("old")));
        Assert.That(error.Message, Does.Contain("a number").And.Contain("'old'"));
        Refused("features, column 'age', row 0", () => model.EmbedUsers([[1]], Age("infinity")));
        var other = new FeatureColumn("age", ["", "≤ 30", "> 30"], [1], null, [30]);
        Refused("features, column 'age'", () => model.EmbedUsers([[1]], new FeatureTable(["new"], [other])));
        Refused("features", () => model.Recommend(["i1"], 5, features: new FeatureTable([], [])));
        Refused("features", () => model.Recommend(["i1"], 5, features: new FeatureTable(["a", "b"], [])));
    }

    private static FeatureTable Age(string text) =>
        new(["new"], [text.Length == 0 ? new FeatureColumn("age", [""], [0]) : new FeatureColumn("age", ["", text], [1])]);

    private Trainer WithAges()
    {
        Dataset data = Data();
        int[] buckets = [.. Enumerable.Range(0, data.Users.Rows).Select(user => user % 4)];
        var ages = new FeatureColumn("age", ["", "≤ 20", "20 – 40", "> 40"], buckets, null, [20, 40]);
        return new Trainer(Device, new Dataset(data.Items, new FeatureTable(data.Users.Ids, [ages]), data.Splits), Small());
    }

    [TestCase("config.json")]
    [TestCase("catalogue.safetensors")]
    public void AModelWhoseReplacementWasCutShortIsTold(string replaced)
    {
        // Of the same shape, so that nothing else tells them apart. Save writes config and catalogue before the weights.
        Dataset data = Data();
        using (Trainer trainer = Trained(Small() with { Epochs = 1 }))
        {
            trainer.Model.Save(Folder("old"));
        }

        var users = new FeatureTable([.. data.Users.Ids.Select(id => "v" + id)], data.Users.Columns);
        using (var trainer = new Trainer(Device, new Dataset(data.Items, users, data.Splits), Small() with { Temperature = 0.3f }))
        {
            trainer.Model.Save(Folder("new"));
        }

        File.Copy(Path.Combine(Folder("new"), replaced), Path.Combine(Folder("old"), replaced), overwrite: true);

        CorruptFileException error = Assert.Throws<CorruptFileException>(() => TwoTowerModel.Load(Device, Folder("old")))!;
        Assert.That(error.Message, Does.Contain("weights.safetensors: it belongs to another").And.Contain(replaced));
    }

    [Test]
    public void WeightsThatDoNotSayWhereTheyBelongAreRead()
    {
        // As versions before wrote them.
        using Trainer trainer = Trained(Small() with { Epochs = 1 });
        trainer.Model.Save(Folder("model"));
        var metadata = new Dictionary<string, string> { ["format"] = "twintail-weights-1" };
        new AtomicFile().Write(
            Path.Combine(Folder("model"), "weights.safetensors"), stream => SafetensorsWriter.Write(stream, trainer.Model.Network.Weights(), metadata));

        using TwoTowerModel loaded = TwoTowerModel.Load(Device, Folder("model"));

        Assert.That(loaded.EmbedUsers([0, 1]), Is.EqualTo(trainer.Model.EmbedUsers([0, 1])));
    }

    [Test]
    public void AModelWithMoreEpochsAskedForLaterIsWhole()
    {
        // The config says so from the start of the second training; the weights may stay those of the first.
        Train(Device, Small() with { Epochs = 1, Schedule = Schedule.Constant }, Folder("run"));
        using (Trainer trainer = Trainer.Resume(Device, Data(), Folder("run"), Small() with { Epochs = 2, Patience = 7, Schedule = Schedule.Constant }))
        {
            using TwoTowerModel before = TwoTowerModel.Load(Device, Folder("run"));
            Assert.That(before.Options.Epochs, Is.EqualTo(2));
            trainer.Run();
        }

        TwoTowerModel.Load(Device, Folder("run")).Dispose();
    }

    [Test]
    public void ADamagedOrMixedUpFolderIsTold()
    {
        using (Trainer trainer = Trained(Small() with { Epochs = 1 }))
        {
            trainer.Model.Save(Folder("a"));
        }

        using (Trainer trainer = Trained(Small() with { Epochs = 1, Dimension = 4 }))
        {
            trainer.Model.Save(Folder("b"));
        }

        Assert.Throws<DirectoryNotFoundException>(() => TwoTowerModel.Load(Device, Folder("none")));
        File.Copy(Path.Combine(Folder("b"), "weights.safetensors"), Path.Combine(Folder("a"), "weights.safetensors"), overwrite: true);
        Assert.That(Assert.Throws<CorruptFileException>(() => TwoTowerModel.Load(Device, Folder("a")))!.Message, Does.Contain("weights.safetensors"));
        File.WriteAllText(Path.Combine(Folder("b"), "config.json"), "{\"options\": {\"dimension\": 0}}");
        Assert.That(Assert.Throws<CorruptFileException>(() => TwoTowerModel.Load(Device, Folder("b")))!.Message, Does.Contain("dimension"));
    }
}
