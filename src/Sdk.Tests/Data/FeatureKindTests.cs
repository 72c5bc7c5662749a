using System.Globalization;
using System.Text;
using Twintail.Data;
using Twintail.Data.Ingest;
using Twintail.Features;

namespace Twintail.Tests.Data;

/// <summary>What kind of feature a column becomes.</summary>
[TestFixture]
internal sealed class FeatureKindTests
{
    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    // 40 rows: 40 different whole numbers are a number, 32 are codes; 9 fractions are a number, 8 are grades.
    [TestCase("price", 40, "{0}", ColumnKind.Numeric)]
    [TestCase("price", 32, "{0}", ColumnKind.Categorical)]
    [TestCase("rating", 9, "{0}.5", ColumnKind.Numeric)]
    [TestCase("rating", 8, "{0}.5", ColumnKind.Categorical)]
    [TestCase("price", 40, "-{0}e-3", ColumnKind.Numeric)]
    // Codes: by name, by a leading zero; and plain text.
    [TestCase("brand_id", 40, "{0}", ColumnKind.Categorical)]
    [TestCase("zipCode", 40, "{0}", ColumnKind.Categorical)]
    [TestCase("postal", 40, "0{0}", ColumnKind.Categorical)]
    [TestCase("paid", 40, "{0}", ColumnKind.Numeric)]
    [TestCase("name", 40, "n{0}", ColumnKind.Categorical)]
    [TestCase("sizes", 40, "{0}|7", ColumnKind.MultiValued)]
    public void KindIsFoundFromTheValues(string name, int different, string format, ColumnKind expected)
    {
        IEnumerable<string> values = Enumerable.Range(0, 40).Select(i => string.Format(CultureInfo.InvariantCulture, format, 1 + (i % different)));
        Assert.That(Read(name, values).Columns.Single().Kind, Is.EqualTo(expected));
    }

    [Test]
    public void OptionsDecideTheKind()
    {
        string[] values = Enumerable.Range(0, 40).Select(i => $"{i}").ToArray();
        Assert.That(Read("price", values, o => o with { Categorical = ["price"] }).Columns.Single().Kind, Is.EqualTo(ColumnKind.Categorical));
        Assert.That(Read("price", values.Take(3), o => o with { Numeric = ["price"] }).Columns.Single().Kind, Is.EqualTo(ColumnKind.Numeric));
        DatasetException error = Assert.Throws<DatasetException>(() => Read("price", ["1", "2", "x"], o => o with { Numeric = ["price"] }))!;
        Assert.That((error.Row, error.Column), Is.EqualTo((3L, "price")));
    }

    [Test]
    public void NumbersFallIntoQuantileBuckets()
    {
        // 1..8 in 4 buckets: edges at the 2nd, 4th and 6th value; "" and nan are missing.
        string[] values = ["8", "1", "2", "", "3", "4", "5", "nan", "6", "7"];
        FeatureColumn column = Read("x", values, o => o with { Numeric = ["x"], Buckets = 4 }).Items.Columns[0];
        Assert.Multiple(() =>
        {
            Assert.That(column.BucketEdges, Is.EqualTo(new double[] { 2, 4, 6 }));
            Assert.That(column.Values, Is.EqualTo(new[] { 4, 1, 1, 0, 2, 2, 3, 0, 3, 4 }));
            Assert.That(column.Vocabulary, Is.EqualTo(new[] { "", "≤ 2", "2 – 4", "4 – 6", "> 6" }));
        });
    }

    [Test]
    public void RepeatedNumbersMergeBuckets()
    {
        FeatureColumn column = Read("x", ["5", "5", "5", "5", "5", "9"], o => o with { Numeric = ["x"], Buckets = 4 }).Items.Columns[0];
        Assert.That(column.BucketEdges, Is.EqualTo(new double[] { 5 }));
        Assert.That(column.Values, Is.EqualTo(new[] { 1, 1, 1, 1, 1, 2 }));
        Assert.That(Read("x", ["5", "5"], o => o with { Numeric = ["x"] }).Items.Columns[0].Vocabulary, Is.EqualTo(new[] { "", "any" }));
    }

    [Test]
    public void BucketsHoldAboutEquallyMany([Values(2, 7, 16)] int buckets, [Values(50, 1000)] int count)
    {
        double[] sorted = Enumerable.Range(0, count).Select(i => Math.Sin(i) * i).Order().ToArray();
        double[] edges = Quantiles.Edges(sorted, buckets);
        int[] sizes = sorted.GroupBy(x => Quantiles.Bucket(edges, x)).OrderBy(g => g.Key).Select(g => g.Count()).ToArray();
        Assert.That(sizes, Has.Length.EqualTo(buckets));
        Assert.That(sizes.Max() - sizes.Min(), Is.LessThanOrEqualTo(1));
    }

    [Test]
    public void RareValuesAreTreatedAsMissing()
    {
        FeatureColumn column = Read("tags", ["a|b", "b", "c|b", "c"], o => o with { MinValueCount = 2 }).Items.Columns[0];
        Assert.That(column.Vocabulary, Is.EqualTo(new[] { "", "b", "c" }));
        Assert.That(column.Offsets, Is.EqualTo(new long[] { 0, 1, 2, 4, 5 }));
    }

    [Test]
    public void FeaturesAreChosenAndIgnored()
    {
        string items = _folder.Write("i.csv", "item_id,a,b,c\n1,x,y,z\n");
        string[] Names(DatasetOptions options) => DatasetReader.ReadItems(options with { Items = items }).Items.Columns.Select(c => c.Name).ToArray();
        Assert.That(Names(new()), Is.EqualTo(new[] { "a", "b", "c" }));
        Assert.That(Names(new() { Ignore = ["b"] }), Is.EqualTo(new[] { "a", "c" }));
        Assert.That(Names(new() { Features = ["c", "a"] }), Is.EqualTo(new[] { "c", "a" }));
    }

    [Test]
    public void UserFeaturesComeFromTheirFile()
    {
        Dataset dataset = DatasetReader.Read(new DatasetOptions
        {
            Interactions = _folder.Write("c.csv", "user_id,item_id\nbob,i1\ncarl,i1\n"),
            Users = _folder.Write("u.csv", "user_id,country\nann,se\nbob,no\n"),
        }).Dataset;
        Assert.That(dataset.Users.Ids, Is.EqualTo(new[] { "ann", "bob", "carl" }));
        Assert.That(dataset.Users.Columns.Single().Values, Is.EqualTo(new[] { 2, 1, 0 }));
    }

    [Test]
    public void OptionsOutOfRangeAreRefused()
    {
        Assert.Throws<BadArgumentException>(() => Read("x", ["1"], o => o with { Buckets = 1 }));
        Assert.Throws<BadArgumentException>(() => Read("x", ["1"], o => o with { MinValueCount = 0 }));
        Assert.Throws<BadArgumentException>(() => Read("x", ["1"], o => o with { Threads = -1 }));
        Assert.Throws<BadArgumentException>(() => DatasetReader.Read(new DatasetOptions()));
        BadArgumentException error = Assert.Throws<BadArgumentException>(() => Read("x", ["1"], o => o with { Features = ["x", "x"] }))!;
        Assert.That((error.Argument, error.Got), Is.EqualTo(("features", "'x' twice")));
        error = Assert.Throws<BadArgumentException>(() => Read("x", ["1"], o => o with { Features = ["x", "item_id"] }))!;
        Assert.That((error.Argument, error.Got), Is.EqualTo(("features", "'item_id'")));
    }

    private LoadedItems Read(string name, IEnumerable<string> values, Func<DatasetOptions, DatasetOptions>? change = null)
    {
        var text = new StringBuilder($"item_id,{name}\n");
        int row = 0;
        foreach (string value in values)
        {
            text.Append(CultureInfo.InvariantCulture, $"i{row++},{value}\n");
        }

        var options = new DatasetOptions { Items = _folder.Write("items.csv", text.ToString()) };
        return DatasetReader.ReadItems(change == null ? options : change(options));
    }
}
