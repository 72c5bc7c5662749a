using System.Text;
using Twintail.Data.Ingest;

namespace Twintail.Tests.Data;

/// <summary>The dictionary against the one of the framework.</summary>
[TestFixture]
internal sealed class Utf8DictionaryTests
{
    [Test]
    public void NumbersFollowFirstAppearance()
    {
        var expected = new Dictionary<string, int>(StringComparer.Ordinal);
        var numbers = new Utf8Dictionary();
        var random = new Random(5);
        for (int i = 0; i < 100_000; i++)
        {
            // Lengths 0 to 40 around the 8-byte steps of the hash, some beyond ASCII; a long one now and then.
            string text = new string('ä', random.Next(3)) + new string((char)('a' + random.Next(3)), random.Next(20)) + random.Next(2000);
            text = i % 5000 == 0 ? new string('x', 1_500_000 + i) : text;
            expected.TryAdd(text, expected.Count);
            Assert.That(numbers.Add(Encoding.UTF8.GetBytes(text)), Is.EqualTo(expected[text]));
        }

        Assert.That(numbers.Count, Is.EqualTo(expected.Count));
        foreach ((string text, int number) in expected)
        {
            Assert.That(numbers.Text(number), Is.EqualTo(text));
            Assert.That(numbers.IndexOf(Encoding.UTF8.GetBytes(text)), Is.EqualTo(number));
        }

        Assert.That(numbers.IndexOf("not there"u8), Is.EqualTo(-1));
    }

    [Test]
    public void EmptyTextAndZeroBytesAreTexts()
    {
        var numbers = new Utf8Dictionary();
        int[] got = [numbers.Add(""u8), numbers.Add("\0"u8), numbers.Add("\0\0"u8), numbers.Add("\0"u8), numbers.Add(""u8)];
        Assert.That(got, Is.EqualTo(new[] { 0, 1, 2, 1, 0 }));
    }
}
