using System.Text;
using Twintail.Data;
using Twintail.Data.Ingest;

namespace Twintail.Tests.Data;

/// <summary>Files that cannot be used: each error names the file and the place, in one line.</summary>
[TestFixture]
internal sealed class BadFileTests
{
    private const string Clicks = "user_id,item_id\nann,i1\nbob,i2\n";
    private const string Items = "item_id,price\ni1,1.5\ni2,2.5\n";

    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void MissingFileNamesTheNearest()
    {
        _folder.Write("interactions.csv", Clicks);
        DatasetException error = Refuse(_folder["interaction.csv"]);
        Assert.That(error.File, Is.EqualTo(_folder["interaction.csv"]));
        Assert.That(error.Message, Does.Contain("does not exist").And.Contain("'interactions.csv'"));
        Assert.That(Refuse("/nowhere/at/all.csv").Message, Does.Contain("nor does its folder"));
        Assert.That(Refuse(_folder.Path).Message, Does.Contain("this is a folder"));
    }

    [Test]
    public void GlobWithoutMatch() => Assert.That(Refuse(_folder["*.csv"]).Message, Does.Contain("no file matches"));

    [Test]
    public void MissingColumnNamesTheNearest()
    {
        DatasetException error = Refuse(_folder.Write("c.csv", "userid,item_id,x\nann,i1,1\n"));
        Assert.Multiple(() =>
        {
            Assert.That(error.Column, Is.EqualTo("user_id"));
            Assert.That(error.Message, Does.Contain("did you mean 'userid'").And.Contain("userid, item_id, x"));
        });
        error = DataFolder.Refused(new DatasetOptions { Interactions = _folder.Write("d.csv", Clicks), Items = _folder.Write("i.csv", Items), Features = ["prize"] });
        Assert.That(error.Message, Does.Contain("'prize'").And.Contain("'price'"));
        error = DataFolder.Refused(new DatasetOptions { Interactions = _folder["d.csv"], Items = _folder["i.csv"], Ignore = ["colour"] });
        Assert.That(error.Column, Is.EqualTo("colour"));
    }

    [TestCase("")]
    [TestCase("\n")]
    [TestCase("\uFEFF\r\n  \r\n")]
    public void EmptyFile(string text)
    {
        Assert.That(Refuse(_folder.Write("c.csv", text)).Message, Does.Contain("empty"));
        Assert.That(Refuse(_folder.Write("c.csv.gz", text)).Message, Does.Contain("empty"));
    }

    [Test]
    public void HeaderWithoutRows() => Assert.That(Refuse(_folder.Write("c.csv", "user_id,item_id\n")).Message, Does.Contain("no row"));

    [TestCase("clicks.csv")]
    [TestCase("clicks.csv.gz")]
    public void WrongTypeNamesFileRowAndLine(string name)
    {
        // The value with a line break makes the fourth row start on line 6; the blank line makes it 7.
        string text = "user_id,item_id,timestamp\nann,\"i\n1\",1\nbob,i2,2\n\ncarl,i1,3\nann,i2,soon\n";
        DatasetException error = Refuse(_folder.Write(name, text));
        Assert.Multiple(() =>
        {
            Assert.That(error.File, Is.EqualTo(_folder[name]));
            Assert.That(error.Row, Is.EqualTo(4));
            Assert.That(error.Line, Is.EqualTo(7));
            Assert.That(error.Column, Is.EqualTo("timestamp"));
            Assert.That(error.Message, Does.EndWith($"{name}, row 4, line 7, column 'timestamp': expected a whole number as in the first row, got 'soon'"));
        });
    }

    [Test]
    public void WrongTypeInTheSecondFileOfAGlob()
    {
        _folder.Write("log/1.csv", "user_id,item_id,timestamp\nann,i1,1\nbob,i1,2\n");
        _folder.Write("log/2.csv", "user_id,item_id,timestamp\nann,i1,1\nbob,i1,\n");
        DatasetException error = Refuse(_folder["log/*.csv"]);
        Assert.That((error.File, error.Row, error.Column), Is.EqualTo((_folder["log/2.csv"], 2L, "timestamp")));
    }

    [TestCase("split", "test")]
    [TestCase("timestamp", "5")]
    public void ColumnThatOnlyALaterFileHas(string column, string value)
    {
        _folder.Write("log/1.csv", Clicks);
        _folder.Write("log/2.csv", $"user_id,item_id,{column}\nann,i3,{value}\n");
        DatasetException error = Refuse(_folder["log/*.csv"]);
        Assert.That((error.File, error.Column), Is.EqualTo((_folder["log/1.csv"], column)));
        Assert.That(error.Problem, Does.Contain("the column is missing"));
    }

    [Test]
    public void MoreClicksThanAnArrayHolds()
    {
        Assert.That(ClickReader.ArrayLength(Array.MaxLength, "train", "c.csv"), Is.EqualTo(Array.MaxLength));
        DatasetException error = Assert.Throws<DatasetException>(() => ClickReader.ArrayLength(3_000_000_000, "train", "c.csv"))!;
        Assert.That(error.Message, Is.EqualTo("c.csv: expected at most 2,147,483,591 clicks in a split, got 3,000,000,000 in 'train'"));
    }

    [Test]
    public void WrongTypeFarDownIsFoundByAnyNumberOfThreads()
    {
        var text = new StringBuilder("user_id,item_id,timestamp\n");
        for (int i = 1; i <= 300_000; i++)
        {
            text.Append($"u{i},i{i % 9},{(i == 250_001 ? "x" : i)}\n");
        }

        string file = _folder.Write("c.csv.gz", text.ToString());
        foreach (int threads in new[] { 1, 4 })
        {
            DatasetException error = DataFolder.Refused(new DatasetOptions { Interactions = file, Threads = threads });
            Assert.That((error.Row, error.Line), Is.EqualTo((250_001L, 250_002L)));
        }
    }

    [Test]
    public void WrongTypeInParquetNamesTheRow()
    {
        string file = _folder.WriteParquet("c.parquet", "SELECT 'u' AS user_id, 'i' AS item_id, CASE WHEN range = 4 THEN 'x' ELSE '1' END AS timestamp FROM range(6)");
        DatasetException error = Refuse(file);
        Assert.That((error.Row, error.Line), Is.EqualTo((5L, (long?)null)));
    }

    [Test]
    public void TextInANumericFeature()
    {
        var text = new StringBuilder("item_id,price\n");
        for (int i = 1; i <= 60; i++)
        {
            text.Append(i == 17 ? "i17,cheap\n" : $"i{i},{i}.25\n");
        }

        DatasetException error = DataFolder.Refused(new DatasetOptions { Interactions = _folder.Write("c.csv", Clicks), Items = _folder.Write("i.csv", text.ToString()) });
        Assert.That((error.Row, error.Column, error.Problem), Is.EqualTo((17L, "price", "expected a number as in other rows, got 'cheap'")));
    }

    [Test]
    public void MissingId()
    {
        DatasetException error = Refuse(_folder.Write("c.csv", "user_id,item_id\nann,i1\n,i2\n"));
        Assert.That((error.Row, error.Column), Is.EqualTo((2L, "user_id")));
    }

    [Test]
    public void TooFewValuesInALine()
    {
        DatasetException error = Refuse(_folder.Write("c.csv", "user_id,item_id,x\nann,i1,1\nbob,i2\n"));
        Assert.That((error.Line, error.Problem), Is.EqualTo((3L, "expected 3 values as in the header, got 2")));
    }

    // Files of two systems, one after the other; quoted values at the end; a line break within a value above; blank lines; a lone CR.
    [TestCase("user_id,item_id\nann,i1\r\nbob,i2\r\n", 2, "LF", "CRLF")]
    [TestCase("user_id,item_id\r\nann,i1\r\nbob,i2\n", 3, "CRLF", "LF")]
    [TestCase("user_id,item_id\r\nann,\"i1\"\r\nbob,\"i2\"\nann,\"i2\"\n", 3, "CRLF", "LF")]
    [TestCase("user_id,item_id\nann,\"i\r\n1\"\nbob,i2\r\n", 4, "LF", "CRLF")]
    [TestCase("\nuser_id,item_id\r\nann,i1\r\n", 2, "LF", "CRLF")]
    [TestCase("\n\r\nuser_id,item_id\nann,i1\n", 2, "LF", "CRLF")]
    [TestCase("\r\nuser_id,item_id\nann,i1\n", 2, "CRLF", "LF")]
    [TestCase("user_id,item_id\nann,i\r1\n", 2, "LF", "CR")]
    public void LineEndsThatChangeAreNamed(string text, long line, string first, string got)
    {
        DatasetException error = Refuse(_folder.Write("c.csv", text));
        Assert.That((error.Line, error.Problem), Is.EqualTo((line, $"expected the line to end in {first} as the first one does, got {got}; give all lines the same end")));
        Assert.That(Refuse(_folder.Write("c.csv.gz", text)).Line, Is.EqualTo(line));
    }

    [Test]
    public void LinesAreCountedFromTheTopWhenBlankOnesStandThere()
    {
        DatasetException error = Refuse(_folder.Write("c.csv", "\uFEFF\n  \nuser_id,item_id,timestamp\nann,i1,1\n\nann,i2,soon\n"));
        Assert.That((error.Row, error.Line), Is.EqualTo((2L, 6L)));
        error = Refuse(_folder.Write("d.csv", "\n\nuser_id,item_id\nann\n"));
        Assert.That((error.Line, error.Problem), Is.EqualTo((4L, "expected 2 values as in the header, got 1")));
        error = Refuse(_folder.Write("e.csv", "\nuser_id,item_id,user_id\n"));
        Assert.That((error.Line, error.Column), Is.EqualTo((2L, "user_id")));
        error = Refuse(_folder.Write("f.csv", "\n,,\nann,i1,\n"));
        Assert.That((error.Line, error.Problem), Is.EqualTo((2L, "the line should name the columns, but it has no name")));
    }

    [Test]
    public void ABlankLineOfOneColumnIsAValueThatIsMissing()
    {
        string clicks = _folder.Write("c.csv", Clicks);
        foreach (string end in new[] { "\n", "\r\n" })
        {
            string items = _folder.Write("items.csv", "\nitem_id\ni1\n\ni2\n".Replace("\n", end));
            DatasetException error = DataFolder.Refused(new DatasetOptions { Interactions = clicks, Items = items });
            Assert.That((error.File, error.Row, error.Line, error.Column), Is.EqualTo((items, 2L, 4L, "item_id")));
        }
    }

    [Test]
    public void OtherTextErrorsAreOneLine()
    {
        Assert.That(Refuse(_folder.Write("q.csv", "user_id,item_id\nann,\"i1\nbob,i2\n")).Problem, Is.EqualTo("a quoted value does not end"));
        Assert.That(Refuse(_folder.Write("l.csv", Encoding.Latin1.GetBytes("user_id,item_id\näöü,i1\n"))).Problem, Is.EqualTo("the text is not UTF-8"));
        Assert.That(Refuse(_folder.Write("m.csv", $"user_id,item_id\na,{new string('x', 3_000_000)}\n")).Problem, Is.EqualTo("the line is too long; does a quoted value not end?"));
        Assert.That(Refuse(_folder.Write("t.csv", "user_id,item_id,user_id\na,b,c\n")).Problem, Does.Contain("twice"));
    }

    [Test]
    public void BrokenGzip()
    {
        var text = new StringBuilder("user_id,item_id\n");
        for (int i = 0; i < 50_000; i++)
        {
            text.Append($"u{i % 977},i{i % 313}\n");
        }

        byte[] whole = DataFolder.Gzip(Encoding.UTF8.GetBytes(text.ToString()));
        // Cut in the middle, cut before the checksum, cut one byte short.
        foreach (int cut in new[] { whole.Length / 2, whole.Length - 8, whole.Length - 1, 1 })
        {
            File.WriteAllBytes(_folder["c.csv.gz"], whole[..cut]);
            Assert.That(Refuse(_folder["c.csv.gz"]).Problem, Does.Contain("gzip"), $"cut at {cut} of {whole.Length}");
        }

        foreach (int at in new[] { whole.Length / 2, whole.Length - 6 })
        {
            byte[] flipped = (byte[])whole.Clone();
            flipped[at] ^= 0x55;
            File.WriteAllBytes(_folder["c.csv.gz"], flipped);
            Assert.That(Refuse(_folder["c.csv.gz"]).Problem, Does.Contain("gzip"), $"flipped at {at}");
        }
    }

    [Test]
    public void BrokenParquet()
    {
        byte[] whole = File.ReadAllBytes(_folder.WriteParquet("c.parquet", "SELECT range AS user_id, range AS item_id FROM range(9)"));
        File.WriteAllBytes(_folder["c.parquet"], whole[..(whole.Length / 2)]);
        DatasetException error = Refuse(_folder["c.parquet"]);
        Assert.That(error.File, Is.EqualTo(_folder["c.parquet"]));
        Assert.That(error.Message, Does.Not.Contain('\n'));
        Assert.That(Refuse(_folder.Write("d.parquet", "hello")).Problem, Does.Contain("no Parquet file"));
    }

    [Test]
    public void DuplicateItems()
    {
        var options = new DatasetOptions { Interactions = _folder.Write("c.csv", Clicks), Items = _folder.Write("i.csv", "item_id,genre\ni1,rock\ni2,pop\ni1,jazz\n") };
        DatasetException error = DataFolder.Refused(options);
        Assert.That((error.Row, error.Problem), Is.EqualTo((3L, "item 'i1' occurs again, it is already in row 1")));

        LoadedDataset loaded = DatasetReader.Read(options with { KeepFirstDuplicate = true });
        Assert.Multiple(() =>
        {
            Assert.That(loaded.Report.DuplicateItems, Is.EqualTo(1));
            Assert.That(loaded.Report.Notes(), Has.Exactly(1).Contains("repeat an item"));
            Assert.That(loaded.Dataset.Items.Columns[0].Vocabulary, Is.EqualTo(new[] { "", "pop", "rock" }));
        });
    }

    [Test]
    public void ItemsAbsentFromTheCatalogueAreCountedAndKept()
    {
        LoadedDataset loaded = DatasetReader.Read(new DatasetOptions
        {
            Interactions = _folder.Write("c.csv", "user_id,item_id\nann,i1\nann,i9\nbob,i9\nbob,i8\n"),
            Items = _folder.Write("i.csv", "item_id,genre\ni1,rock\ni2,pop\n"),
            Validation = ValidationPolicy.None,
        });
        Assert.Multiple(() =>
        {
            Assert.That((loaded.Report.AbsentItems, loaded.Report.AbsentItemClicks), Is.EqualTo((2, 3L)));
            Assert.That(loaded.Report.Notes(), Has.Exactly(1).Contains("2 clicked items (3 clicks) are not in the catalogue and are kept with their id alone: i9, i8"));
            Assert.That(loaded.Dataset.Items.Ids, Is.EqualTo(new[] { "i1", "i2", "i9", "i8" }));
            Assert.That(loaded.Dataset.Items.Columns[0].Values, Is.EqualTo(new[] { 2, 1, 0, 0 }));
            Assert.That(loaded.Dataset.Splits["train"].Items, Is.EqualTo(new[] { 0, 2, 2, 3 }));
        });
    }

    [Test]
    public void UsersAbsentFromTheirFileAreCountedAndKept()
    {
        var options = new DatasetOptions
        {
            Interactions = _folder.Write("c.csv", "user_id,item_id\nann,i1\nbob,i2\n1.0,i2\nbob,i1\n"),
            Users = _folder.Write("u.csv", "user_id,country\nann,at\n1,de\n"),
            Validation = ValidationPolicy.None,
        };
        LoadedDataset loaded = DatasetReader.Read(options);
        Assert.That(loaded.Report.AbsentUsers, Is.EqualTo(2));
        Assert.That(loaded.Report.Notes(), Has.Exactly(1).EqualTo("2 of 4 users are not in the users' file and are kept without features: bob, 1.0"));
        Assert.That(loaded.Dataset.Users.Columns[0].Values.Skip(2), Is.EqualTo(new[] { 0, 0 }));
        Assert.That(DatasetReader.Read(options with { Users = null }).Report.AbsentUsers, Is.Zero, "no file, nobody absent");
    }

    [Test]
    public void ColumnsLikeIdsAreToldOf()
    {
        // 100 items; title: a value each; series: 40 of the 50 that have one; maker: two of each.
        IEnumerable<string> rows = Enumerable.Range(0, 100).Select(i => $"i{i},title {i},{(i < 50 ? $"s{Math.Min(i, 39)}" : "")},m{i / 2}");
        LoadedDataset loaded = DatasetReader.Read(new DatasetOptions
        {
            Interactions = _folder.Write("c.csv", "user_id,item_id\nann,i1\nbob,i2\n"),
            Items = _folder.Write("i.csv", "item_id,title,series,maker\n" + string.Join('\n', rows) + "\n"),
            Validation = ValidationPolicy.None,
        });
        Assert.That(loaded.Report.Notes().Single(), Does.StartWith("column 'title' has a value of its own in nearly every row"));
    }

    private static DatasetException Refuse(string clicks)
    {
        DatasetException error = DataFolder.Refused(new DatasetOptions { Interactions = clicks });
        Assert.That(error.Message, Does.Not.Contain('\n'));
        return error;
    }
}
