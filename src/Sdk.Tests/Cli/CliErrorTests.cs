using System.Text;
using Twintail.Tests.Data;

namespace Twintail.Tests.Cli;

/// <summary>Bad input through the real program: one line on standard error, an exit code other than 0, nothing left behind.</summary>
[TestFixture]
internal sealed class CliErrorTests
{
    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void MissingFile()
    {
        _folder.Write("clicks.csv", "user_id,item_id\na,1\n");
        Assert.That(Train(_folder["click.csv"], TinyTraining.Items), Does.Contain("click.csv: the file does not exist; did you mean 'clicks.csv'?"));
        Assert.That(Train(TinyTraining.Interactions, _folder["items.csv"]), Does.Contain("items.csv: the file does not exist"));
        Assert.That(Train(_folder["*.parquet"], TinyTraining.Items), Does.Contain("no file matches the glob"));
    }

    [Test]
    public void PipeInPlaceOfAFile()
    {
        // As <(zcat clicks.csv.gz) gives in a shell: its start would be gone when it is read for the second time.
        using CliProcess process = CliProcess.StartAfter(
            "exec 9< <(cat " + TinyTraining.Items + ")", "mi", "--items", "/dev/fd/9");
        Assert.That(CliProcess.Failed(process.Wait()), Does.Contain("/dev/fd/9: this is a pipe, and the file has to be read more than once; write it to disk first"));
    }

    [Test]
    public void MissingColumn()
    {
        string clicks = _folder.Write("clicks.csv", "user,item_id\na,i00001\n");
        Assert.That(Train(clicks, TinyTraining.Items), Does.Contain("clicks.csv, column 'user_id': the column is missing; did you mean 'user'?"));
        Assert.That(
            Train(TinyTraining.Interactions, TinyTraining.Items, "--features", "genre"),
            Does.Contain("items.csv, column 'genre': the column is missing; did you mean 'genres'"));
    }

    [Test]
    public void MoreMemoryThanThereIs()
    {
        string[] command = [.. TinyTraining.Command(_folder["m"]), "--tower", "2000000,2000000"];
        Assert.That(CliProcess.Fail(command), Does.Contain("'towers'").And.Contain("change --tower").And.Contain("--no-memory-check"));
        Assert.That(Directory.Exists(_folder["m"]), Is.False);

        CliResult forced = CliProcess.Run([.. command, "--no-memory-check"]);
        Assert.That(forced.Error, Does.Contain("warning: more memory than is free"));
        Assert.That(CliProcess.Failed(forced), Does.Not.Contain("--no-memory-check"), "the device itself has refused");
    }

    [Test]
    public void EmptyFile()
    {
        Assert.That(Train(_folder.Write("clicks.csv", ""), TinyTraining.Items), Does.Contain("clicks.csv: the file is empty"));
        Assert.That(Train(_folder.Write("h.csv", "user_id,item_id\n"), TinyTraining.Items), Does.Contain("h.csv: there is no row below the header"));
    }

    [TestCase("clicks.csv")]
    [TestCase("clicks.csv.gz")]
    public void WrongTypeInRow(string name)
    {
        string clicks = _folder.Write(name, "user_id,item_id,timestamp\na,i00001,1\na,i00002,2\nb,i00001,late\n");
        Assert.That(Train(clicks, TinyTraining.Items), Does.Contain($"{name}, row 3, line 4, column 'timestamp': expected a whole number").And.Contain("'late'"));
    }

    [Test]
    public void WrongTypeInAFeature()
    {
        string text = File.ReadAllText(TinyTraining.Items);
        string[] lines = text.Split('\n');
        string[] cells = lines[5].Split(',');
        cells[5] = "cheap";
        lines[5] = string.Join(',', cells);
        string items = _folder.Write("items.csv.gz", string.Join('\n', lines));
        Assert.That(Train(TinyTraining.Interactions, items), Does.Contain("items.csv.gz, row 5, line 6, column 'price': expected a number as in other rows, got 'cheap'"));
    }

    [Test]
    public void DuplicateItems()
    {
        string text = File.ReadAllText(TinyTraining.Items);
        string items = _folder.Write("items.csv", text + text.Split('\n')[2] + "\n");
        Assert.That(Train(TinyTraining.Interactions, items), Does.Contain("row 201, line 202, column 'item_id': item 'i00002' occurs again, it is already in row 2"));
    }

    [Test]
    public void BrokenGzip()
    {
        byte[] whole = DataFolder.Gzip(File.ReadAllBytes(TinyTraining.Interactions));
        File.WriteAllBytes(_folder["clicks.csv.gz"], whole[..(whole.Length * 2 / 3)]);
        Assert.That(Train(_folder["clicks.csv.gz"], TinyTraining.Items), Does.Contain("clicks.csv.gz: the gzip file is cut off"));
        whole[whole.Length / 2] ^= 0xFF;
        File.WriteAllBytes(_folder["clicks.csv.gz"], whole);
        Assert.That(Train(_folder["clicks.csv.gz"], TinyTraining.Items), Does.Contain("clicks.csv.gz: the gzip file is damaged"));
    }

    [Test]
    public void NoWritePermission()
    {
        // These fail for root, too: a folder below a file, and one in the kernel's own file system.
        string file = _folder.Write("file", "x");
        foreach (string output in new[] { Path.Combine(file, "model"), "/proc/twintail-model" })
        {
            string error = CliProcess.Fail([.. TinyTraining.Command(output)]);
            Assert.That(error, Does.Contain($"{output} cannot be written to"));
        }
    }

    [Test]
    public void AnotherTrainingIsNotOverwritten()
    {
        byte[] before = File.ReadAllBytes(Path.Combine(TinyTraining.Model, "weights.safetensors"));
        string error = CliProcess.Fail(TinyTraining.Command(TinyTraining.Model));
        Assert.That(error, Does.Contain("holds a training already; continue it with --resume or replace it with --overwrite"));
        Assert.That(File.ReadAllBytes(Path.Combine(TinyTraining.Model, "weights.safetensors")), Is.EqualTo(before));
    }

    [Test]
    public void FoldersMadeToTryThemAreRemoved()
    {
        string clicks = _folder.Write("clicks.csv", "");
        Directory.CreateDirectory(_folder["there"]);
        CliProcess.Fail("train", "--interactions", clicks, "--items", TinyTraining.Items, "--out", _folder["there/a/b"]);
        Assert.That(Directory.GetFileSystemEntries(_folder["there"]), Is.Empty);
        CliProcess.Fail("train", "--interactions", clicks, "--items", TinyTraining.Items, "--out", _folder["there"]);
        Assert.That(Directory.Exists(_folder["there"]), "a folder that was there stays");
    }

    [Test]
    public void AnotherProgramsFileIsNotOverwritten()
    {
        // Nor is the start of a training that has no checkpoint yet; both are told before anything is read.
        _folder.Write("m/config.json", "{}");
        string error = CliProcess.Fail([.. TinyTraining.Command(_folder["m"]), "--interactions", _folder["none.csv"]]);
        Assert.That(error, Does.Contain("m holds config.json, maybe of a training that ended before its first checkpoint; replace it with --overwrite"));
        Assert.That(File.ReadAllText(_folder["m/config.json"]), Is.EqualTo("{}"));
    }

    [Test]
    public void BinaryNamesDoNotReachTheTerminal()
    {
        string clicks = _folder.Write("clicks.csv", "\x1b[31muser\x07\r\u0085,item\x0b\u2028" + new string('x', 5000) + "\na,b\n");
        string error = Train(clicks, TinyTraining.Items);
        Assert.That(error, Does.Contain("column 'user_id': the column is missing"));
        Assert.That(error.Where(c => char.IsControl(c) || c == '\u2028'), Is.Empty);
        Assert.That(error, Has.Length.LessThan(1000));
        clicks = _folder.Write("absent.csv", "user_id,item_id\na,i00001\na,\"\x1b[31m\nx\"\nb,i00002\n");
        CliResult result = CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--interactions", clicks, "--epochs", "1"]);
        Assert.That(result.Error, Does.Not.Contain('\x1b').And.Contain("kept with their id alone: ?[31m x\n"));
    }

    [Test]
    public void WrongCommandLine()
    {
        Assert.That(Usage("train", "--epoch", "3"), Does.Contain("'--epoch' is unknown; did you mean '--epochs'"));
        Assert.That(Usage("trian"), Does.Contain("'trian' is unknown; did you mean 'train'"));
        Assert.That(Usage("evaluate"), Does.Contain("--model"));
        Assert.That(Usage("train", "--out", "x"), Does.Contain("--interactions is missing"));
        Assert.That(Usage("train", "--interactions", "c", "--items", "i"), Does.Contain("--out is missing"));
        Assert.That(Usage([.. TinyTraining.Command(_folder["m"]), "--epochs", "many"]), Does.Contain("epochs: expected an integer, got many"));
        Assert.That(Usage([.. TinyTraining.Command(_folder["m"]), "--temperature", "-1"]), Does.Contain("temperature: expected a finite number above 0"));
        Assert.That(Usage([.. TinyTraining.Command(_folder["m"]), "--augmentation", "complementary+correlated"]), Does.Contain("augmentation: expected complementary or correlated, not both"));
        Assert.That(Usage([.. TinyTraining.Command(_folder["m"]), "--validation", "first"]), Does.Contain("expected last-item, none or time:SHARE"));
        Assert.That(Usage([.. TinyTraining.Command(_folder["m"]), "--device", "gpu"]), Does.Contain("device: expected auto, cpu, cuda or cuda:INDEX"));
        Assert.That(Directory.Exists(_folder["m"]), Is.False);
    }

    [Test]
    public void WrongConfiguration()
    {
        string config = _folder.Write("config.json", """{ "epochs": 2, "batchsize": 64, "temprature": 0.1 }""");
        Assert.That(CliProcess.Fail("train", "--config", config), Does.Contain("there is no setting 'temprature'; did you mean 'temperature'?"));
        Assert.That(CliProcess.Fail("train", "--config", _folder.Write("c.json", "{ epochs: 2")), Does.Contain("not JSON"));
        Assert.That(CliProcess.Fail("train", "--config", _folder["none.json"]), Does.Contain("none.json"));
    }

    [Test]
    public void SettingsGivenTwiceInAConfiguration()
    {
        string config = _folder.Write("c.json", """{ "epochs": 2, "epochs": 3 }""");
        Assert.That(CliProcess.Fail("train", "--config", config), Does.Contain("c.json: expected each setting once, got 'epochs' twice"));
        config = _folder.Write("d.json", """{ "epochs": 2, "Epochs": null }""");
        Assert.That(CliProcess.Fail("train", "--config", config), Does.Contain("got 'epochs' twice, as 'epochs' and 'Epochs'"));
    }

    [Test]
    public void SettingsBesideAModelAreReplacedWholeOrNotAtAll()
    {
        Directory.CreateDirectory(_folder["run.json"]);
        Assert.That(
            () => Twintail.Cli.Settings.ConfigFile.WriteRun(_folder.Path, [], new Twintail.Training.TrainingOptions()),
            Throws.InstanceOf<IOException>().Or.InstanceOf<UnauthorizedAccessException>());
        Assert.That(Directory.GetFiles(_folder.Path), Is.Empty, "nothing temporary is left");
    }

    [Test]
    public void FilesThatCannotBeWrittenAreToldBeforeTheWork()
    {
        string none = _folder["none/x.html"], model = TinyTraining.Model;
        CliResult evaluate = CliProcess.Run("evaluate", "--model", model, "--report", none, "--json");
        Assert.That(CliProcess.Failed(evaluate), Does.Contain($"{none} cannot be written: the folder {_folder["none"]} does not exist"));
        Assert.That(evaluate.Error, Does.Not.Contain("device:"), "before the work");
        foreach (string option in new[] { "--csv", "--plot" })
        {
            CliResult mi = CliProcess.Run("mi", "--items", TinyTraining.Items, option, none, "--json");
            Assert.That(CliProcess.Failed(mi), Does.Contain("does not exist"));
            Assert.That(mi.Error, Does.Not.Contain("device:"), "before the work");
            Assert.That(CliProcess.Fail("mi", "--items", TinyTraining.Items, option, _folder.Path), Does.Contain("it is a folder"));
        }
    }

    [Test]
    public void ColumnsOfOneNameInTheModel()
    {
        string items = _folder.Write("i.csv", "asin,item_id,brand\ni00001,x,a\ni00002,y,b\n");
        string clicks = _folder.Write("c.csv", "user_id,asin\na,i00001\na,i00002\nb,i00001\nb,i00002\n");
        Assert.That(
            Train(clicks, items, "--item-col", "asin", "--device", "cpu"),
            Does.Contain("columns: expected names that differ in the model").And.Contain("the items' column 'item_id'"));
        Assert.That(CliProcess.Fail("mi", "--items", items, "--item-col", "asin"), Does.Contain("columns: expected names other than the id's"));
        items = _folder.Write("j.csv", "item_id,brand\ni00001,a\ni00002,b\n");
        clicks = _folder.Write("d.csv", "user_id,item_id\na,i00001\na,i00002\nb,i00001\nb,i00002\n");
        string users = _folder.Write("u.csv", "user_id,history.brand\na,x\nb,y\n");
        Assert.That(
            Train(clicks, items, "--users", users, "--device", "cpu", "--shared-embeddings", "false", "--history-content"),
            Does.Contain("the users' column 'history.brand' and the items' 'brand' in the histories"));
    }

    [Test]
    public void ModelsThatAreNone()
    {
        Assert.That(CliProcess.Fail("recommend", "--model", _folder["nothing"], "--user", "u00001"), Does.Contain("nothing does not exist"));
        Assert.That(CliProcess.Fail("similar", "--model", _folder.Path, "--item", "i00001"), Does.Contain("holds no whole model"));
        foreach (string file in Directory.GetFiles(TinyTraining.Model))
        {
            File.Copy(file, _folder[Path.GetFileName(file)]);
        }

        string weights = _folder["weights.safetensors"];
        File.WriteAllBytes(weights, File.ReadAllBytes(weights)[..1000]);
        Assert.That(CliProcess.Fail("recommend", "--model", _folder.Path, "--user", "u00001"), Does.Contain("weights.safetensors"));
    }

    [Test]
    public void UnknownUsersItemsAndSplits()
    {
        Assert.That(CliProcess.Fail("recommend", "--model", TinyTraining.Model, "--user", "nobody"), Does.Contain("knows no user 'nobody'"));
        Assert.That(CliProcess.Fail("recommend", "--model", TinyTraining.Model, "--items", "x,y"), Does.Contain("knows none of the items x,y"));
        Assert.That(CliProcess.Fail("recommend", "--model", TinyTraining.Model), Does.Contain("one of --user and --items"));
        Assert.That(CliProcess.Fail("similar", "--model", TinyTraining.Model, "--item", "x"), Does.Contain("knows no item 'x'"));
        Assert.That(CliProcess.Fail("evaluate", "--model", TinyTraining.Model, "--split", "tests"), Does.Contain("has no split 'tests'; did you mean 'test'?"));
        Assert.That(CliProcess.Fail("preview", "--items", TinyTraining.Items, "--item", "x"), Does.Contain("has no item 'x'"));
    }

    [Test]
    public void CudaWithoutADeviceSaysWhatWasTried()
    {
        if (Device.Probe(DeviceKind.Cuda).IsAvailable)
        {
            Assert.Ignore("this machine has a CUDA device");
        }

        string error = CliProcess.Fail([.. TinyTraining.Command(_folder["m"]), "--device", "cuda"]);
        Assert.That(error, Does.Contain("CUDA").Or.Contain("cuda"));
    }

    [Test]
    public void VerboseShowsTheOrigin()
    {
        CliResult result = CliProcess.Run("recommend", "--model", _folder["nothing"], "--user", "u", "--verbose");
        Assert.That(result.ExitCode, Is.Not.Zero);
        Assert.That(result.Error, Does.Contain("   at Twintail."));
    }

    private string Train(string clicks, string items, params string[] more)
    {
        string output = _folder["model"];
        string error = CliProcess.Fail(["train", "--interactions", clicks, "--items", items, "--out", output, .. more]);
        Assert.That(Directory.Exists(output), Is.False, "a folder left behind");
        return error;
    }

    private static string Usage(params string[] arguments)
    {
        CliResult result = CliProcess.Run(arguments);
        Assert.That(result.ExitCode, Is.EqualTo(2), result.Error);
        return CliProcess.Failed(result);
    }
}
