using Twintail.Augmentation;
using Twintail.Ops;
using Twintail.Training;

namespace Twintail.Tests.Training;

internal sealed class TrainingOptionsTests
{
    [Test]
    public void DefaultsAreValidAndSurviveJson()
    {
        var options = new TrainingOptions();
        options.Validate();

        Assert.That(TrainingOptions.FromJson(options.ToJson()).ToJson(), Is.EqualTo(options.ToJson()));
    }

    [Test]
    public void EveryOptionSurvivesJson()
    {
        // Each option gets a value that is not its default, so that one which is lost on the way is noticed.
        var options = new TrainingOptions();
        foreach ((string name, Type type) in TrainingOptions.Describe())
        {
            options.Set(name, Other(name, type, options.Get(name)));
        }

        options.Validate();
        TrainingOptions back = TrainingOptions.FromJson(options.ToJson());

        var defaults = new TrainingOptions();
        foreach ((string name, _) in TrainingOptions.Describe())
        {
            Assert.That(back.Get(name), Is.EqualTo(options.Get(name)).And.Not.EqualTo(defaults.Get(name)), name);
        }
    }

    [Test]
    public void NamesMayBeWrittenInAnyStyle()
    {
        TrainingOptions options = TrainingOptions.FromJson(
            "{\"batch_size\": 7, \"self-batch-size\": 8, \"Alpha\": 0.25, \"tower\": [32, 16], \"augmentation\": \"random-mask+value-dropout\", \"correction\": \"logq\"}");

        Assert.That(options.BatchSize, Is.EqualTo(7));
        Assert.That(options.SelfBatchSize, Is.EqualTo(8));
        Assert.That(options.Alpha, Is.EqualTo(0.25f));
        Assert.That(options.Tower, Is.EqualTo(new[] { 32, 16 }));
        Assert.That(options.Augmentation, Is.EqualTo(Transforms.RandomMask | Transforms.ValueDropout));
        Assert.That(options.Correction, Is.EqualTo(Correction.LogQ));
    }

    [Test]
    public void TakesTheConfigurationOfAModel() =>
        Assert.That(TrainingOptions.FromJson("{\"twintail_model\": 1, \"options\": {\"epochs\": 3}}").Epochs, Is.EqualTo(3));

    [TestCase("")]
    [TestCase("none")]
    public void AnEmptyTowerIsLinear(string text)
    {
        var options = new TrainingOptions();
        options.Set("tower", text);

        Assert.That(options.Tower, Is.Empty);
        Assert.That(options.Get("tower"), Is.EqualTo("none"), "which a command line can hold");
        Assert.That(TrainingOptions.FromJson(options.ToJson()).Tower, Is.Empty);
    }

    [TestCase("batch-size", "0")]
    [TestCase("batch-size", "x")]
    [TestCase("batch-size", "")]
    [TestCase("batch-size", "1.5")]
    [TestCase("temperature", "0")]
    [TestCase("temperature", "NaN")]
    [TestCase("temperature", "Infinity")]
    [TestCase("alpha", "-1")]
    [TestCase("id-dropout", "1.1")]
    [TestCase("history-dropout", "-0.1")]
    [TestCase("tower", "64,0")]
    [TestCase("tower", "64,,32")]
    [TestCase("augmentation", "nonsense")]
    [TestCase("augmentation", "complementary+correlated")]
    [TestCase("augmentation", "list-dropout")]
    [TestCase("dense-optimizer", "rowwise-adagrad")]
    [TestCase("sparse-optimizer", "17")]
    [TestCase("learn-temperature", "yes")]
    [TestCase("epochs", "-1")]
    [TestCase("log-q-exponent", "-0.5")]
    public void AWrongValueIsNamedWithWhatWasExpected(string option, string value)
    {
        BadArgumentException error = Assert.Throws<BadArgumentException>(() =>
        {
            var options = new TrainingOptions();
            options.Set(option, value);
            options.Validate();
        })!;

        Assert.That(error.Argument, Does.StartWith(option));
        Assert.That(error.Expected, Is.Not.Empty);
        Assert.That(error.Got, Is.Not.Empty);
    }

    [Test]
    public void AnUnknownOptionOrBrokenJsonIsRefused()
    {
        Assert.That(Assert.Throws<BadArgumentException>(() => TrainingOptions.FromJson("{\"batchsiez\": 1}"))!.Argument, Is.EqualTo("batchsiez"));
        Assert.Throws<BadArgumentException>(() => TrainingOptions.FromJson("{\"alpha\": {}}"));
        Assert.Throws<BadArgumentException>(() => TrainingOptions.FromJson("epochs=3"));
    }

    private static string Other(string name, Type type, string value)
    {
        switch (name)
        {
            case nameof(TrainingOptions.Augmentation):
                return "complementary+value-dropout";
            case nameof(TrainingOptions.DenseOptimizer):
                return "adagrad";
            case nameof(TrainingOptions.Tower):
                return "48,24";
        }

        if (type.IsEnum)
        {
            return Enum.GetValues(type).Cast<object>().Select(OptionText.Format).First(x => x != value);
        }

        return type == typeof(bool) ? (value == "true" ? "false" : "true") : type == typeof(float) ? "0.123456" : "17";
    }
}
