using Twintail.Storage;

namespace Twintail.Tests.Model;

internal sealed class JsonTextTests
{
    [Test]
    public void GivesBackWhatWasWritten()
    {
        var json = new JsonObject
        {
            ["z"] = "first stays first",
            ["text"] = "tab\t quote\" slash\\ line\n ünï 🎉",
            ["integer"] = long.MinValue,
            ["real"] = 0.1,
            ["single"] = 0.1f,
            ["yes"] = true,
            ["nothing"] = null,
            ["nan"] = double.NaN,
            ["list"] = new object?[] { 1, "a", null, new JsonObject { ["x"] = 1e300 } },
            ["empty"] = new JsonObject(),
        };
        foreach (bool indented in new[] { false, true })
        {
            JsonObject back = JsonText.ParseObject(JsonText.Write(json, indented), "test");

            Assert.That(back.Select(x => x.Key), Is.EqualTo(json.Select(x => x.Key)));
            Assert.That(back["text"], Is.EqualTo(json["text"]));
            Assert.That(back["integer"], Is.EqualTo(long.MinValue));
            Assert.That(back["real"], Is.EqualTo(0.1));
            Assert.That((float)(double)back["single"]!, Is.EqualTo(0.1f));
            Assert.That(back["yes"], Is.EqualTo(true));
            Assert.That(back["nothing"], Is.Null);
            Assert.That(back["nan"], Is.Null, "JSON has no NaN");
            Assert.That(((JsonObject)((List<object?>)back["list"]!)[3]!)["x"], Is.EqualTo(1e300));
            Assert.That(System.Text.Json.JsonDocument.Parse(JsonText.Write(json, indented)).RootElement.GetProperty("text").GetString(), Is.EqualTo(json["text"]));
        }
    }

    [Test]
    public void ReadsWhatTheStandardAllows()
    {
        JsonObject json = JsonText.ParseObject(" {\"a\" : [ ] , \"b\":-1.5E+2,\"c\":\"\\u00e4\\/\\b\\f\\r\\t\" }\r\n", "test");

        Assert.That(json["a"], Is.Empty);
        Assert.That(json["b"], Is.EqualTo(-150.0));
        Assert.That(json["c"], Is.EqualTo("ä/\b\f\r\t"));
    }

    [TestCase("")]
    [TestCase("[1]")]
    [TestCase("{\"a\": 1,}")]
    [TestCase("{\"a\": [1,]}")]
    [TestCase("{\"a\": tru}")]
    [TestCase("{\"a\": 1} x")]
    [TestCase("{\"a\": 1, \"a\": 2}")]
    [TestCase("{\"a\": \"\\x\"}")]
    [TestCase("{\"a\": \"line\nbreak\"}")]
    [TestCase("{\"a\" 1}")]
    [TestCase("{'a': 1}")]
    [TestCase("{\"a\": --1}")]
    [TestCase("{\"a\": \"unfinished")]
    public void RefusesEverythingElse(string text) => Assert.Throws<BadArgumentException>(() => JsonText.ParseObject(text, "test"));

    [Test]
    public void RefusesDeepNestingInsteadOfOverflowingTheStack() =>
        Assert.Throws<BadArgumentException>(() => JsonText.ParseObject("{\"a\":" + new string('[', 100_000), "test"));

    [Test]
    public void NamesTheLine()
    {
        BadArgumentException error = Assert.Throws<BadArgumentException>(() => JsonText.ParseObject("{\n\"a\": 1,\n\"b\": ?\n}", "config"))!;
        Assert.That(error.Message, Does.StartWith("config, line 3: expected a value, got '?"));
    }
}
