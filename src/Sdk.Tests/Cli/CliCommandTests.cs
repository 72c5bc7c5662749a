using System.Text.Json.Nodes;
using Twintail.Tests.Data;

namespace Twintail.Tests.Cli;

/// <summary>What the commands print and write.</summary>
[TestFixture]
internal sealed class CliCommandTests
{
    private static readonly byte[] PngMagic = [0x89, (byte)'P', (byte)'N', (byte)'G'];

    private DataFolder _folder = null!;

    [SetUp]
    public void MakeFolder() => _folder = new DataFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void TrainWritesModelMetricsAndReport()
    {
        CliResult result = CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--epochs", "2", "--json"]);
        JsonObject json = result.Json;
        Assert.Multiple(() =>
        {
            Assert.That((string?)json["end"], Is.EqualTo("finished"));
            Assert.That((int?)json["epochs"], Is.EqualTo(2));
            Assert.That((int?)json["data"]!["items"], Is.EqualTo(200));
            Assert.That((long?)json["memory"]!["estimated_bytes"], Is.EqualTo(json["memory"]!["parts"]!.AsObject().Sum(part => (long)part.Value!)).And.Positive);
            Assert.That(result.Error, Does.Match("memory: about .* \\(.*\\); .* free"));
            Assert.That((double?)json["evaluations"]![0]!["slices"]!["all"]!["recall@20"]!["value"], Is.InRange(0.0, 1.0));
            Assert.That(Directory.GetFiles(_folder["m"]).Select(Path.GetFileName), Is.SupersetOf(new[]
            {
                "config.json", "run.json", "catalogue.safetensors", "weights.safetensors", "checkpoint.safetensors", "metrics.jsonl", "report.html",
            }));
            Assert.That(result.Error, Does.Contain("epoch 1/2").And.Contain("epoch 2/2").And.Contain("clicks/s").And.Contain("left"));
            Assert.That(File.ReadAllText(_folder["m/report.html"]), Does.Contain("data:image/png;base64,").And.Not.Contain("http://").And.Not.Contain("https://"));
        });
    }

    [Test]
    public void EffectiveConfigurationRepeatsTheTraining()
    {
        string config = _folder.Write("c.json", $$"""
            {
              // comments are welcome
              "interactions": "{{TinyTraining.Interactions}}", "items": "{{TinyTraining.Items}}", "ignore": ["year", "colour"],
              "tower": [16], "dimension": 8, "id_dimension": 8, "batch-size": 64, "SelfBatchSize": 32, "epochs": 9, "seed": 5, "device": "cpu",
            }
            """);
        CliProcess.Succeed("train", "--config", config, "--epochs", "1", "--out", _folder["a"]);
        JsonObject run = JsonNode.Parse(File.ReadAllText(_folder["a/run.json"]))!.AsObject();
        Assert.That((int?)run["epochs"], Is.EqualTo(1), "the command line goes before the file");
        Assert.That((int?)run["seed"], Is.EqualTo(5));
        Assert.That((double?)run["temperature"], Is.Not.Null, "defaults are there, too");
        CliProcess.Succeed("train", "--config", _folder["a/run.json"], "--out", _folder["b"]);
        Assert.That(File.ReadAllBytes(_folder["b/weights.safetensors"]), Is.EqualTo(File.ReadAllBytes(_folder["a/weights.safetensors"])));
    }

    [Test]
    public void NoEpochsLeaveAnUntrainedModel()
    {
        string[] Command(string folder, string epochs) =>
            [.. TinyTraining.Command(_folder[folder]), "--shared-embeddings", "--aligned-start", "--epochs", epochs];
        CliResult result = CliProcess.Succeed(Command("m", "0"));
        Assert.That(result.Out, Does.Contain("the model is untrained"));
        CliProcess.Succeed("recommend", "--model", _folder["m"], "--user", "u00001");
        CliProcess.Succeed("train", "--resume", "--out", _folder["m"], "--epochs", "2");
        CliProcess.Succeed(Command("whole", "2"));
        Assert.That(File.ReadAllBytes(_folder["m/weights.safetensors"]), Is.EqualTo(File.ReadAllBytes(_folder["whole/weights.safetensors"])));
    }

    [Test]
    public void ThreadsDoNotChangeTheModel()
    {
        foreach (string threads in new[] { "1", "2", "3" })
        {
            CliProcess.Succeed([.. TinyTraining.Command(_folder[threads]), "--epochs", "1", "--threads", threads]);
            Assert.That(File.ReadAllBytes(_folder[threads + "/weights.safetensors"]), Is.EqualTo(File.ReadAllBytes(_folder["1/weights.safetensors"])), $"{threads} threads");
        }
    }

    [Test]
    public void AbsentItemsAreReportedAndKept()
    {
        string[] lines = File.ReadAllLines(TinyTraining.Items);
        string items = _folder.Write("items.csv", string.Join('\n', lines[..^20]) + "\n");
        CliResult result = CliProcess.Succeed([.. TinyTraining.Command(_folder["m"]), "--items", items, "--epochs", "1", "--json"]);
        Assert.That((int?)result.Json["data"]!["absent_items"], Is.InRange(1, 20));
        Assert.That(result.Error, Does.Contain("are not in the catalogue and are kept with their id alone"));
        CliProcess.Succeed("similar", "--model", _folder["m"], "--item", ClickedOf(lines[^20..]), "-q");
    }

    [Test]
    public void EvaluateShowsSlicesAndCompares()
    {
        JsonObject json = CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--interactions", TinyTraining.Interactions, "--split", "test", "--json").Json;
        JsonNode slices = json["evaluations"]![0]!["slices"]!;
        foreach (string slice in new[] { "all", "head", "mid", "tail" })
        {
            double value = (double)slices[slice]!["recall@20"]!["value"]!, low = (double)slices[slice]!["recall@20"]!["low"]!;
            Assert.That(low, Is.LessThanOrEqualTo(value));
        }

        Assert.That(slices["all"]!["ndcg@20"], Is.Not.Null);
        Assert.That(slices["all"]!["mrr"], Is.Not.Null);
        Assert.That(slices["all"]!["coverage@20"], Is.Not.Null);
        json = CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--split", "test,test_cold", "--candidates", "all", "--json").Json;
        Assert.That((int?)json["evaluations"]![0]!["slices"]!["cold"]!["pairs"], Is.GreaterThan(0));
        json = CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--split", "test,test_cold", "--candidates", "all", "--cold-bonus", "0.25", "--json").Json;
        Assert.That((double)json["evaluations"]![0]!["cold_bonus"]!, Is.EqualTo(0.25));
        Assert.That(CliProcess.Fail("evaluate", "--model", TinyTraining.Model, "--cold-bonus", "3"), Does.Contain("cold_bonus"));
        json = CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--against", TinyTraining.Model, "--json").Json;
        Assert.That((double?)json["difference"]!["slices"]!["all"]!["recall@20"]!["value"], Is.Zero);
        CliResult table = CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--baselines", "--report", _folder["e.html"]);
        Assert.That(table.Out, Does.Contain("popularity").And.Contain("random").And.Contain("tail"));
        Assert.That(File.ReadAllText(_folder["e.html"]), Does.Contain("recall@20"));
    }

    [Test]
    public void ModelsOfOtherCataloguesAreNotComparedInSilence()
    {
        // The same users, but half of the catalogue has no click and the other half fewer competitors.
        string[] lines = File.ReadAllLines(TinyTraining.Interactions);
        string half = _folder.Write("half.csv", string.Join('\n', lines.Where((line, i) => i == 0 || line.Split(',')[1][^1] is >= '0' and <= '4')) + "\n");
        CliProcess.Succeed([.. TinyTraining.Command(_folder["half"]), "--interactions", half, "--epochs", "1"]);
        CliResult result = CliProcess.Succeed(
            "evaluate", "--model", TinyTraining.Model, "--against", _folder["half"], "--interactions", TinyTraining.Interactions, "--json");
        Assert.That(result.Error, Does.Contain("were trained on other items or clicks"));
        Assert.That(CliProcess.Succeed("evaluate", "--model", TinyTraining.Model, "--against", TinyTraining.Model).Error, Does.Not.Contain("warning"));

        string clicks = _folder.Write("c.csv", "user_id,item_id,split\nA,x,train\nA,y,test\nB,x,train\n");
        string error = CliProcess.Fail("evaluate", "--model", TinyTraining.Model, "--interactions", clicks);
        Assert.That(error, Does.Contain("knows the user and the item of none of the clicks").And.Contain("another catalogue"));
    }

    [Test]
    public void SignedNumbersHaveOneSign()
    {
        double[] values = [0.25, -0.25, 0, 0.00001, -0.00001, double.NaN];
        Assert.That(
            values.Select(v => Twintail.Cli.Reports.Tables.Number(v, signed: true)),
            Is.EqualTo(new[] { "+.2500", "-.2500", " .0000", " .0000", " .0000", "–" }));
    }

    [Test]
    public void RecommendLeavesSeenItemsOut()
    {
        JsonObject json = CliProcess.Succeed("recommend", "--model", TinyTraining.Model, "--user", "u00001", "-k", "10", "--json").Json;
        string[] history = Ids(json["history"]!.AsArray()), items = [.. json["items"]!.AsArray().Select(i => (string)i!["item_id"]!)];
        Assert.That(items, Has.Length.EqualTo(10).And.Unique);
        Assert.That(items.Intersect(history), Is.Empty);
        Assert.That(json["items"]!.AsArray().Select(i => (double)i!["score"]!), Is.Ordered.Descending);
        Assert.That(Ids(json["items"]![0]!["features"]!["genres"]!.AsArray()), Is.Not.Empty);

        // The same history given by hand; one unknown item is passed over.
        CliResult unseen = CliProcess.Succeed("recommend", "--model", TinyTraining.Model, "--items", string.Join(',', history) + ",nope", "--json");
        Assert.That((int?)unseen.Json["unknown_items"], Is.EqualTo(1));
        Assert.That(unseen.Error, Does.Contain("1 of"));
        Assert.That(unseen.Json["items"]!.AsArray(), Has.Count.EqualTo(20));
    }

    [Test]
    public void SimilarShowsOtherItems()
    {
        JsonObject json = CliProcess.Succeed("similar", "--model", TinyTraining.Model, "--item", "i00007", "-k", "5", "--json").Json;
        string[] items = [.. json["items"]!.AsArray().Select(i => (string)i!["item_id"]!)];
        Assert.That(items, Has.Length.EqualTo(5).And.Unique.And.Not.Contain("i00007"));
        CliResult table = CliProcess.Succeed("similar", "--model", TinyTraining.Model, "--item", "i00007", "--show", "brand");
        Assert.That(table.Out, Does.Contain("studio-").And.Not.Contain("genres"));
    }

    [Test]
    public void MutualInformationAsTableCsvAndPicture()
    {
        // colour is a copy of brand, size has nothing to do with them: MI(brand, colour) = H(brand) = log 2, MI(brand, size) = 0.
        string items = _folder.Write("i.csv", "item_id,brand,colour,size\n1,a,red,s\n2,b,blue,s\n3,a,red,l\n4,b,blue,l\n");
        CliResult result = CliProcess.Succeed("mi", "--items", items, "--measure", "plain", "--csv", _folder["mi.csv"], "--plot", _folder["mi.png"], "--json");
        JsonArray matrix = result.Json["matrix"]!.AsArray();
        Assert.Multiple(() =>
        {
            Assert.That(Ids(result.Json["features"]!.AsArray()), Is.EqualTo(new[] { "brand", "colour", "size" }));
            Assert.That((double)matrix[0]![1]!, Is.EqualTo(Math.Log(2)).Within(1e-9));
            Assert.That((double)matrix[0]![2]!, Is.EqualTo(0).Within(1e-9));
            string[] lines = File.ReadAllLines(_folder["mi.csv"]);
            Assert.That(lines[0], Is.EqualTo("feature,brand,colour,size"));
            Assert.That(lines, Has.Length.EqualTo(4));
            Assert.That(File.ReadAllBytes(_folder["mi.png"])[..4], Is.EqualTo(PngMagic));
        });
        Assert.That(CliProcess.Succeed("mi", "--items", items, "--measure", "plain").Out, Does.Contain("colour").And.Contain(".6931"));
    }

    [TestCase("plain")]
    [TestCase(null)]
    public void MutualInformationShowsTheMasksOfATraining(string? measure)
    {
        string items = TinyTraining.Items;
        JsonObject json = CliProcess.Succeed(["mi", "--items", items, "--seed", "5", "--json", .. measure == null ? Array.Empty<string>() : ["--measure", measure]]).Json;
        Twintail.Features.FeatureTable table = Twintail.Data.DatasetReader.ReadItems(new Twintail.Data.DatasetOptions { Items = items }).Items;
        var options = new Twintail.Training.TrainingOptions { Augmentation = Twintail.Ops.Transforms.Correlated, Seed = 5 };
        options = measure == null ? options : options with { Relatedness = Twintail.Augmentation.Relatedness.Plain };
        using Device device = Device.Cpu();
        ulong[] sets = Twintail.Augmentation.CorrelatedSets.Create(device, table, options)!;

        Assert.That((string?)json["measure"], Is.EqualTo(measure ?? "adjusted"));
        string[] names = ["item_id", .. table.Columns.Select(column => column.Name)];
        for (int seed = 0; seed < names.Length; seed++)
        {
            Assert.That(
                Ids(json["masked_with"]![names[seed]]!.AsArray()),
                Is.EqualTo(names.Where((_, feature) => feature != seed && (sets[seed] >> feature & 1) != 0)), names[seed]);
        }
    }

    [Test]
    public void PreviewShowsBothViews()
    {
        JsonObject json = CliProcess.Succeed("preview", "--items", TinyTraining.Items, "--augmentation", "complementary", "--item", "i00003", "--json").Json;
        JsonArray view1 = json["view1"]!.AsArray(), view2 = json["view2"]!.AsArray();
        Assert.That(view1.Select(f => (string)f!["feature"]!), Is.EqualTo(new[] { "item_id", "genres", "tags", "brand", "tier", "price", "year", "colour" }));
        for (int i = 0; i < view1.Count; i++)
        {
            Assert.That((bool)view1[i]!["masked"]!, Is.Not.EqualTo((bool)view2[i]!["masked"]!), "each feature is in one of the views");
            Assert.That(view1[i]!["kept"]!.AsArray().Count + view2[i]!["kept"]!.AsArray().Count, Is.GreaterThan(0));
        }

        Assert.That(CliProcess.Succeed("preview", "--items", TinyTraining.Items, "--item", "i00003").Out, Does.Contain("view 1").And.Contain("{default}"));
    }

    [Test]
    public void DoctorTellsWhatItFinds()
    {
        JsonObject json = CliProcess.Succeed("doctor", "--json").Json;
        Assert.Multiple(() =>
        {
            Assert.That((bool?)json["works"], Is.True);
            Assert.That((string?)json["instruction_sets"], Does.Contain("portable"));
            Assert.That((string?)json["native"], Does.Contain("libtwintail"));
            Assert.That((string?)json["cuda_reason"], Is.Not.Empty);
            Assert.That((string?)json["duckdb"], Does.StartWith("v1."));
        });
        Assert.That(CliProcess.Succeed("doctor").Out, Does.Contain("CUDA"));
    }

    [Test]
    public void DoctorTellsWhatIsWrongAndGoesOn()
    {
        using CliProcess process = CliProcess.StartAfter("export TWINTAIL_ISA=sse9", "doctor", "--json");
        CliResult result = process.Wait();
        Assert.That(result.ExitCode, Is.EqualTo(1), result.Error);
        Assert.That((bool?)result.Json["works"], Is.False);
        Assert.That((string?)result.Json["native_error"], Does.Contain("TWINTAIL_ISA: expected portable, avx2 or avx512"));
        Assert.That((string?)result.Json["duckdb"], Does.StartWith("v1."));
    }

    [Test]
    public void DemoEndsWithATableAPlotAndAReport()
    {
        CliResult result = CliProcess.Succeed("demo", "--out", _folder["demo"], "--catalogue", "400", "--users", "300", "--epochs", "2", "--device", "cpu");
        Assert.Multiple(() =>
        {
            Assert.That(result.Out, Does.Contain("plain softmax").And.Contain("+ logQ + SSL").And.Contain("tail").And.Contain("cold"));
            Assert.That(result.Out, Does.Contain(Path.Combine(_folder["demo"], "recall.png")));
            Assert.That(File.ReadAllBytes(_folder["demo/recall.png"])[..4], Is.EqualTo(PngMagic));
            Assert.That(File.ReadAllText(_folder["demo/report.html"]), Does.Contain("data:image/png;base64,"));
            Assert.That(result.Error, Does.Contain("+ logQ + SSL: epoch 2/2"));
        });
    }

    [Test]
    public void DemoSaysWhatEachPartChanges()
    {
        JsonObject demo = CliProcess.Succeed("demo", "--out", _folder["changes"], "--catalogue", "400", "--users", "300", "--epochs", "1", "--device", "cpu", "--json").Json;
        Dictionary<string, JsonNode> models = demo["models"]!.AsArray().ToDictionary(m => (string)m!["name"]!, m => m!);
        JsonArray differences = demo["differences"]!.AsArray();
        Assert.That(
            differences.Select(d => (string)d!["name"]!),
            Is.EqualTo(new[]
            {
                "plain + SSL against plain softmax", "+ logQ against plain softmax", "+ logQ + SSL against + logQ", "+ logQ + SSL against plain softmax",
            }));
        foreach (JsonNode? difference in differences)
        {
            string[] pair = ((string)difference!["name"]!).Split(" against ");
            foreach (string report in new[] { "warm", "cold", "all" })
            {
                double change = Recall(models[pair[0]], report) - Recall(models[pair[1]], report);
                Assert.That(Recall(difference, report), Is.EqualTo(change).Within(1e-6), $"{difference["name"]}, {report}");
            }
        }

        Assert.That(Recall(models["plain + SSL"], "warm"), Is.Not.EqualTo(Recall(models["plain softmax"], "warm")), "self-supervision is on");

        static double Recall(JsonNode of, string report) => (double)of[report]!["slices"]!["all"]!["recall@20"]!["value"]!;
    }

    [Test]
    public void EverySettingIsDocumented()
    {
        string help = CliProcess.Succeed("train", "--help").Out;
        foreach (KeyValuePair<string, Type> option in Twintail.Training.TrainingOptions.Describe())
        {
            Assert.That(help, Does.Contain("--" + Twintail.Training.OptionText.Name(option.Key)));
        }

        Assert.That(Twintail.Cli.Settings.TrainingSettings.Undocumented, Is.Empty);
        Assert.That(help, Does.Contain("--history-ids <true|false>"));
    }

    // An item of these catalogue rows that has a training click.
    private static string ClickedOf(string[] rows)
    {
        HashSet<string> trained = [.. File.ReadLines(TinyTraining.Interactions).Select(l => l.Split(',')).Where(c => c[3] == "train").Select(c => c[1])];
        return rows.Select(row => row.Split(',')[0]).First(trained.Contains);
    }

    private static string[] Ids(JsonArray array) => [.. array.Select(id => (string)id!)];
}
