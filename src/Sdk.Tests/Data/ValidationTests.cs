using Twintail.Data;
using Twintail.Data.Ingest;
using Twintail.Features;

namespace Twintail.Tests.Data;

/// <summary>Validation clicks chosen by a policy.</summary>
[TestFixture]
internal sealed class ValidationTests
{
    // user 0: items 5 6 5 (times 1 3 2); user 1: item 7 twice; user 2: items 5 6 6.
    private static readonly Interactions Log = new([0, 0, 0, 1, 1, 2, 2, 2], [5, 6, 5, 7, 7, 5, 6, 6], [1, 3, 2, 4, 5, 6, 7, 8]);

    [Test]
    public void LastItemByTime()
    {
        // User 0's last is item 6 (time 3); user 1 has one item only and keeps it; user 2's last is 6, whose earlier click goes too.
        (Interactions train, Interactions valid) = ValidationSplit.Apply(ValidationPolicy.LastItem, Log, 3, "log");
        Assert.That(Pairs(train), Is.EqualTo(new[] { (0, 5), (0, 5), (1, 7), (1, 7), (2, 5) }));
        Assert.That(Pairs(valid), Is.EqualTo(new[] { (0, 6), (2, 6) }));
        Assert.That(valid.Timestamps, Is.EqualTo(new long[] { 3, 8 }));
    }

    [Test]
    public void LastItemByOrderWithoutTimes()
    {
        // Without times user 0's last click is that on item 5, and both clicks on 5 leave the training.
        (Interactions train, Interactions valid) = ValidationSplit.Apply(ValidationPolicy.LastItem, new Interactions(Log.Users, Log.Items), 3, "log");
        Assert.That(Pairs(train), Is.EqualTo(new[] { (0, 6), (1, 7), (1, 7), (2, 5) }));
        Assert.That(Pairs(valid), Is.EqualTo(new[] { (0, 5), (2, 6) }));
    }

    [Test]
    public void LastShareByTime()
    {
        (Interactions train, Interactions valid) = ValidationSplit.Apply(ValidationPolicy.Parse("time:0.25"), Log, 3, "log");
        Assert.That(valid.Timestamps, Is.EqualTo(new long[] { 7, 8 }));
        Assert.That(train.Count, Is.EqualTo(6));
    }

    [Test]
    public void EqualTimesAreSplitByOrder()
    {
        var log = new Interactions([0, 0, 0, 0], [1, 2, 3, 4], [9, 5, 5, 5]);
        (Interactions train, Interactions valid) = ValidationSplit.Apply(ValidationPolicy.Parse("time:0.5"), log, 1, "log");
        Assert.That(valid.Items, Is.EqualTo(new[] { 1, 4 }));
        Assert.That(train.Items, Is.EqualTo(new[] { 2, 3 }));
    }

    [Test]
    public void TimeNeedsTimes()
    {
        var log = new Interactions([0], [1]);
        Assert.Throws<DatasetException>(() => ValidationSplit.Apply(ValidationPolicy.Parse("time:0.5"), log, 1, "log"));
    }

    [TestCase("last-item")]
    [TestCase("none")]
    [TestCase("time:0.1")]
    public void PolicyTextRoundTrips(string text) => Assert.That(ValidationPolicy.Parse(text).ToString(), Is.EqualTo(text));

    [TestCase("time:1")]
    [TestCase("time:")]
    [TestCase("first-item")]
    public void BadPolicyIsRefused(string text) => Assert.Throws<FormatException>(() => ValidationPolicy.Parse(text));

    [Test]
    public void SplitColumnWinsOverThePolicy()
    {
        using var folder = new DataFolder();
        var options = new DatasetOptions { Interactions = folder.Write("c.csv", "user_id,item_id,split\na,1,train\na,2,train\na,3,valid\n") };
        Assert.That(Counts(options), Is.EqualTo("train 2, valid 1; column 'split'"));
        options = options with { Validation = ValidationPolicy.LastItem };
        Assert.That(Counts(options), Is.EqualTo("train 2, valid 1; column 'split'"));
        // Without valid rows an explicit policy makes them.
        folder.Write("c.csv", "user_id,item_id,split\na,1,train\na,2,train\na,3,test\n");
        Assert.That(Counts(options), Is.EqualTo("test 1, train 1, valid 1; column 'split', last-item"));
        Assert.That(Counts(options with { Validation = null }), Is.EqualTo("test 1, train 2; column 'split'"));
        folder.Write("c.csv", "user_id,item_id\na,1\na,2\n");
        Assert.That(Counts(options with { Validation = null }), Is.EqualTo("train 1, valid 1; last-item"));
    }

    [Test]
    public void ClicksOfAStoredModelGetItsRows()
    {
        using var folder = new DataFolder();
        FeatureTable items = new(["i1", "i2"], []), users = new(["bob", "ann"], []);
        var catalogue = new Catalogue(items, users, [0, 0, 0], []);
        string file = folder.Write("c.csv", "user_id,item_id,split\nann,i2,test\ncarl,i2,test\nann,i9,test\nbob,i1,train\n");
        LoadedInteractions loaded = DatasetReader.ReadInteractions(new DatasetOptions { Interactions = file }, catalogue);
        Assert.Multiple(() =>
        {
            Assert.That(Pairs(loaded.Splits["test"]), Is.EqualTo(new[] { (1, 1) }));
            Assert.That(Pairs(loaded.Splits["train"]), Is.EqualTo(new[] { (0, 0) }));
            Assert.That((loaded.UnknownUserClicks, loaded.UnknownItemClicks), Is.EqualTo((1L, 1L)));
        });
    }

    private static string Counts(DatasetOptions options)
    {
        DatasetReport report = DatasetReader.Read(options).Report;
        return string.Join(", ", report.Clicks.OrderBy(c => c.Key, StringComparer.Ordinal).Select(c => $"{c.Key} {c.Value}")) + "; " + report.Split;
    }

    private static (int, int)[] Pairs(Interactions log) => log.Users.Zip(log.Items).ToArray();
}
