using System.Text;
using Twintail.Data;
using Twintail.Features;

namespace Twintail.Tests.Data;

/// <summary>The same clicks and items in every format that is read.</summary>
[TestFixture]
internal sealed class FormatTests
{
    private const string Clicks = "user_id,item_id,timestamp,split\nann,i1,3,train\nbob,i2,1,train\nann,i3,4,test\nann,i2,2,valid\n";
    private const string Items = "item_id,genre,tags\ni1,rock,loud|old\ni2,,loud\ni3,pop,\ni4,rock,new|loud|new\n";

    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [TestCase(".csv")]
    [TestCase(".csv.gz")]
    [TestCase(".tsv")]
    [TestCase(".tsv.gz")]
    [TestCase(".txt;")]
    public void TextIsRead(string kind)
    {
        char delimiter = kind.StartsWith(".tsv", StringComparison.Ordinal) ? '\t' : kind.EndsWith(';') ? ';' : ',';
        string ending = kind.TrimEnd(';');
        CheckData(
            _folder.Write("clicks" + ending, Clicks.Replace(',', delimiter)),
            _folder.Write("items" + ending, Items.Replace(',', delimiter)));
    }

    [Test]
    public void TextOfOtherToolsIsRead()
    {
        // A byte-order mark, Windows line ends, quotes, a blank line, an unnamed index column, no newline at the end.
        string clicks = "\uFEFF,\"user_id\",item_id,timestamp,split\r\n0,\"ann\",i1,3,train\r\n1,bob,i2,1,train\r\n\r\n2,ann,i3,4,test\r\n3,ann,i2,2,valid";
        CheckData(_folder.Write("clicks.csv", clicks), _folder.Write("items.csv", Items.Replace("\n", "\r\n")));
    }

    [Test]
    public void GzipIsKnownByItsContentNotItsName()
    {
        string clicks = _folder.Write("clicks.csv", DataFolder.Gzip(Encoding.UTF8.GetBytes(Clicks)));
        CheckData(clicks, _folder.Write("items.csv", Items));
    }

    [Test]
    public void GzipOfSeveralMembersIsRead()
    {
        int half = Clicks.IndexOf("ann,i3", StringComparison.Ordinal);
        byte[] two = [.. DataFolder.Gzip(Encoding.UTF8.GetBytes(Clicks[..half])), .. DataFolder.Gzip(Encoding.UTF8.GetBytes(Clicks[half..]))];
        File.WriteAllBytes(_folder["clicks.csv.gz"], two);
        CheckData(_folder["clicks.csv.gz"], _folder.Write("items.csv", Items));
    }

    [Test]
    public void ParquetIsReadWithListsAndTypes()
    {
        string clicks = _folder.WriteParquet(
            "clicks.parquet",
            "SELECT * FROM (VALUES ('ann','i1',3,'train'),('bob','i2',1,'train'),('ann','i3',4,'test'),('ann','i2',2,'valid')) t(user_id,item_id,timestamp,split)");
        string items = _folder.WriteParquet(
            "items.parquet",
            "SELECT * FROM (VALUES ('i1','rock',['loud','old']),('i2',NULL,['loud']),('i3','pop',NULL),('i4','rock',['new','loud','new'])) t(item_id,genre,tags)");
        CheckData(clicks, items);
    }

    [Test]
    public void NumericIdsOfParquetAreTheIdsOfText()
    {
        string clicks = _folder.WriteParquet("clicks.parquet", "SELECT 7::BIGINT AS user_id, 12::DOUBLE AS item_id, TIMESTAMP '2020-01-01 00:00:01' AS timestamp");
        string items = _folder.Write("items.csv", "item_id,genre\n12,rock\n13,pop\n");
        LoadedDataset loaded = DatasetReader.Read(new DatasetOptions { Interactions = clicks, Items = items, Validation = ValidationPolicy.None });
        Assert.Multiple(() =>
        {
            Assert.That(loaded.Report.AbsentItems, Is.Zero);
            Assert.That(loaded.Dataset.Users.Ids, Is.EqualTo(new[] { "7" }));
            Assert.That(loaded.Dataset.Splits["train"].Timestamps, Is.EqualTo(new[] { 1577836801000000L }));
        });
    }

    [Test]
    public void GlobsAreReadInTheOrderOfTheirNames()
    {
        _folder.Write("log/b.csv", "user_id,item_id\nann,i2\n");
        _folder.Write("log/a.csv.gz", "item_id,user_id\ni1,bob\n");
        _folder.Write("log/deep/c.csv", "user_id,item_id\ncarl,i3\n");
        Interactions flat = Read(_folder["log/*.csv*"], out string[] users);
        Assert.That(flat.Users.Select(u => users[u]), Is.EqualTo(new[] { "bob", "ann" }));
        Assert.That(Read(_folder["log/**/*.csv*"], out _).Count, Is.EqualTo(3));

        static Interactions Read(string glob, out string[] users)
        {
            Dataset dataset = DatasetReader.Read(new DatasetOptions { Interactions = glob, Validation = ValidationPolicy.None }).Dataset;
            users = dataset.Users.Ids;
            return dataset.Splits["train"];
        }
    }

    [Test]
    public void NamesOfFoldersAreNoColumns()
    {
        // Also none of the names that queries give to a text file's columns.
        CheckData(
            _folder.Write("split=train/user_id=zoe/c1=i9/clicks.csv", Clicks),
            _folder.Write("genre=jazz/date=2024-01-01/c1=jazz/items.csv", Items));
        string[] parquet = ["clicks", "items"];
        foreach (string name in parquet)
        {
            string text = _folder.Write(name + ".csv", name == "clicks" ? Clicks : Items.Replace("|", "/", StringComparison.Ordinal));
            _folder.WriteParquet(name + ".parquet", $"SELECT * FROM read_csv('{text}', header=true)");
        }

        Dataset elsewhere = Read(_folder["clicks.parquet"], _folder["items.parquet"]);
        foreach (string name in parquet)
        {
            Directory.CreateDirectory(_folder["split=x/genre=jazz/date=2024-01-01"]);
            File.Move(_folder[name + ".parquet"], _folder[$"split=x/genre=jazz/date=2024-01-01/{name}.parquet"]);
        }

        Dataset there = Read(_folder["split=x/genre=jazz/date=2024-01-01/clicks.parquet"], _folder["split=*/genre=jazz/*/items.parquet"]);
        Assert.Multiple(() =>
        {
            Assert.That(there.Splits.Keys, Is.EquivalentTo(elsewhere.Splits.Keys));
            Assert.That(there.Items.Columns.Select(c => c.Name), Is.EqualTo(new[] { "genre", "tags" }));
            Assert.That(there.Items.Columns.Select(c => c.Vocabulary), Is.EqualTo(elsewhere.Items.Columns.Select(c => c.Vocabulary)));
            Assert.That(there.Items.Columns[0].Values, Is.EqualTo(elsewhere.Items.Columns[0].Values));
        });
    }

    // Each name, read as a glob, matches the one beside it.
    [TestCase("[1]", "1")]
    [TestCase("*", "x")]
    [TestCase("?", "x")]
    [TestCase("[!a]", "b")]
    [TestCase("[[]*'", "[x'")]
    public void FilesWithTheNameOfAGlobAreReadThemselves(string name, string beside)
    {
        _folder.Write($"clicks{beside}.csv", "user_id,item_id\nzoe,i9\n");
        _folder.Write($"items{beside}/items.csv", "item_id,genre,tags\ni9,folk,\n");
        string clicks = _folder.Write($"clicks{name}.csv", Clicks), items = _folder.Write($"items{name}/items.csv", Items);
        CheckData(clicks, items);
        Directory.CreateDirectory(_folder[$"p{name}"]);
        Directory.CreateDirectory(_folder[$"p{beside}"]);
        _folder.WriteParquet($"p{beside}/c.parquet", "SELECT 'zoe' AS user_id, 'i9' AS item_id, 1 AS more");
        _folder.WriteParquet($"p{name}/c.parquet", "SELECT 'ann' AS user_id, 'i1' AS item_id");
        Assert.That(Read(_folder[$"p{name}/c.parquet"], items).Users.Ids, Is.EqualTo(new[] { "ann" }));
    }

    [Test]
    public void FilesThatAGlobFindsAreReadThemselves()
    {
        // The second file's name, read as a glob, matches the first.
        _folder.Write("log/1.csv", "user_id,item_id\nann,i1\n");
        _folder.Write("log/[1].csv", "user_id,item_id\nbob,i2\n");
        Assert.That(Read(_folder["log/*.csv"], null).Users.Ids, Is.EqualTo(new[] { "ann", "bob" }));
    }

    [Test]
    public void ColumnsMayDifferInCaseOnly()
    {
        string items = _folder.Write("items.csv", ",item_id,brand,Brand,unnamed 0,c1\n0,i1,acme,ACME,x,p\n1,i2,bolt,BOLT,y,q\n");
        Dataset dataset = Read(_folder.Write("clicks.csv", Clicks), items);
        Assert.That(dataset.Items.Columns.Select(c => c.Name), Is.EqualTo(new[] { "brand", "Brand", "unnamed 0", "c1" }));
        Assert.That(dataset.Items.Columns.Select(c => c.Vocabulary[1]), Is.EqualTo(new[] { "acme", "ACME", "x", "p" }));
    }

    [TestCase("\n")]
    [TestCase("\r\n\r\n")]
    [TestCase("\uFEFF\n  \n\n")]
    public void BlankLinesAboveTheHeaderAreSkipped(string blank)
    {
        string end = blank.Contains('\r') ? "\r\n" : "\n";
        string items = blank + Items.Replace("\n", end);
        CheckData(_folder.Write("clicks.csv", blank + Clicks.Replace("\n", end)), _folder.Write("items.csv", items));
        CheckData(_folder.Write("clicks.csv.gz", blank + Clicks.Replace("\n", end)), _folder["items.csv"]);
    }

    [TestCase("\n", "\r\n")]
    [TestCase("\r\n", "\n")]
    public void NamesMayHoldTheOtherLineEnd(string end, string other)
    {
        string clicks = "user_id,item_id,\"the" + other + "time\"" + end + "ann,i1,3" + end + "bob,i2,1" + end;
        var options = new DatasetOptions { Interactions = _folder.Write("c.csv", clicks), TimestampColumn = "the" + other + "time", Validation = ValidationPolicy.None };
        Assert.That(DatasetReader.Read(options).Dataset.Splits["train"].Timestamps, Is.EqualTo(new long[] { 3, 1 }));
    }

    [Test]
    public void ColumnsAreRenamed()
    {
        string clicks = _folder.Write("clicks.csv", "who,what,when,part\nann,i1,2024-01-02,train\nbob,i2,2024-01-01T10:00:00Z,dev\n");
        string items = _folder.Write("items.csv", "what,genre\ni1,rock\ni2,pop\n");
        Dataset dataset = DatasetReader.Read(new DatasetOptions
        {
            Interactions = clicks,
            Items = items,
            UserColumn = "who",
            ItemColumn = "what",
            TimestampColumn = "when",
            SplitColumn = "part",
        }).Dataset;
        Assert.Multiple(() =>
        {
            Assert.That(dataset.Splits.Keys, Is.EquivalentTo(new[] { "train", "dev" }));
            Assert.That(dataset.Splits["train"].Timestamps![0], Is.EqualTo(1704153600000000));
            Assert.That(dataset.Splits["dev"].Timestamps![0], Is.EqualTo(1704103200000000));
        });
    }

    [Test]
    public void ThreadsDoNotChangeTheResult()
    {
        var text = new StringBuilder("user_id,item_id,timestamp,split\n");
        var items = new StringBuilder("item_id,price,tags\n");
        for (int i = 0; i < 200_000; i++)
        {
            text.Append($"user number {i * 7919L % 30011},{i * 104729L % 5003},{i},{(i % 10 == 0 ? "test" : "train")}\n");
        }

        for (int i = 0; i < 5000; i++)
        {
            items.Append($"{i},{i * 37 % 1009}.5,t{i % 7}|t{i % 11}\n");
        }

        var options = new DatasetOptions { Interactions = _folder.Write("clicks.csv", text.ToString()), Items = _folder.Write("items.csv", items.ToString()) };
        Dataset one = DatasetReader.Read(options with { Threads = 1 }).Dataset;
        foreach (int threads in new[] { 2, 7 })
        {
            Dataset other = DatasetReader.Read(options with { Threads = threads }).Dataset;
            Assert.Multiple(() =>
            {
                Assert.That(other.Users.Ids, Is.EqualTo(one.Users.Ids));
                Assert.That(other.Items.Ids, Is.EqualTo(one.Items.Ids));
                Assert.That(other.Splits["train"].Users, Is.EqualTo(one.Splits["train"].Users));
                Assert.That(other.Splits["test"].Items, Is.EqualTo(one.Splits["test"].Items));
                Assert.That(other.Items.Columns.Select(c => c.Values), Is.EqualTo(one.Items.Columns.Select(c => c.Values)));
            });
        }

        Assert.That(one.Splits["train"].Timestamps, Is.Ordered);
    }

    private static Dataset Read(string clicks, string? items) =>
        DatasetReader.Read(new DatasetOptions { Interactions = clicks, Items = items, Validation = ValidationPolicy.None }).Dataset;

    private static void CheckData(string clicks, string items)
    {
        LoadedDataset loaded = DatasetReader.Read(new DatasetOptions { Interactions = clicks, Items = items });
        Dataset dataset = loaded.Dataset;
        FeatureColumn genre = dataset.Items.Columns[0], tags = dataset.Items.Columns[1];
        Assert.Multiple(() =>
        {
            Assert.That(loaded.Report.Clicks, Is.EquivalentTo(new Dictionary<string, int> { ["train"] = 2, ["valid"] = 1, ["test"] = 1 }));
            Assert.That(dataset.Users.Ids, Is.EqualTo(new[] { "ann", "bob" }));
            Assert.That(dataset.Items.Ids, Is.EqualTo(new[] { "i1", "i2", "i3", "i4" }));
            Assert.That(dataset.Splits["train"].Users, Is.EqualTo(new[] { 0, 1 }));
            Assert.That(dataset.Splits["train"].Items, Is.EqualTo(new[] { 0, 1 }));
            Assert.That(dataset.Splits["train"].Timestamps, Is.EqualTo(new long[] { 3, 1 }));
            Assert.That(dataset.Splits["test"].Items, Is.EqualTo(new[] { 2 }));
            // By falling number of rows, then by text; 0 is missing.
            Assert.That(genre.Name, Is.EqualTo("genre"));
            Assert.That(genre.Vocabulary, Is.EqualTo(new[] { "", "rock", "pop" }));
            Assert.That(genre.IsMultiValued, Is.False);
            Assert.That(genre.Values, Is.EqualTo(new[] { 1, 0, 2, 1 }));
            // A value named twice in a row counts once.
            Assert.That(tags.Vocabulary, Is.EqualTo(new[] { "", "loud", "new", "old" }));
            Assert.That(tags.Offsets, Is.EqualTo(new long[] { 0, 2, 3, 3, 5 }));
            Assert.That(tags.Values, Is.EqualTo(new[] { 1, 3, 1, 2, 1 }));
        });
    }
}
