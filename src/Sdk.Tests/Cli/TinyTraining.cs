using Twintail.Data;

namespace Twintail.Tests.Cli;

/// <summary>A small synthetic catalogue in files, and a model of it that tests may read.</summary>
internal static class TinyTraining
{
    private static readonly Lazy<string> Folder = new(() => Directory.CreateTempSubdirectory("twintail-cli-").FullName);

    private static readonly Lazy<DatasetOptions> Files = new(() =>
        SyntheticCatalogue.Generate(new SyntheticOptions { Items = 200, Users = 150, ClicksPerUser = 16, ColdShare = 0.1, Tags = 288, Brands = 40, Seed = 3 }).WriteCsv(Path.Combine(Folder.Value, "data")));

    private static readonly Lazy<string> Trained = new(() =>
    {
        string model = Path.Combine(Folder.Value, "model");
        CliProcess.Succeed([.. Command(model), "--epochs", "3"]);
        return model;
    });

    public static string Interactions => Files.Value.Interactions!;

    public static string Items => Files.Value.Items!;

    public static string Users => Files.Value.Users!;

    /// <summary>A trained model; not to be changed.</summary>
    public static string Model => Trained.Value;

    /// <summary>Settings of towers that train in no time.</summary>
    public static string[] SmallTowers { get; } =
        ["--tower", "16", "--dimension", "8", "--id-dimension", "8", "--feature-dimension", "4", "--batch-size", "64", "--self-batch-size", "32", "--patience", "0"];

    /// <summary>The arguments of a training into a folder.</summary>
    public static string[] Command(string output) =>
        ["train", "--interactions", Interactions, "--items", Items, "--users", Users, "--out", output, "--device", "cpu", .. SmallTowers];

    public static void Remove()
    {
        if (Folder.IsValueCreated)
        {
            Directory.Delete(Folder.Value, recursive: true);
        }
    }
}

/// <summary>Removes the files of these tests at their end.</summary>
[SetUpFixture]
internal sealed class CliTestsEnd
{
    [OneTimeTearDown]
    public void Remove() => TinyTraining.Remove();
}
