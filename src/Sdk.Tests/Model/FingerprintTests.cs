using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Twintail.Features;
using Twintail.Storage;
using Twintail.Tests.Training;

namespace Twintail.Tests.Model;

internal sealed class FingerprintTests
{
    // Checkpoints hold it: another digest of the same data would refuse them.
    [Test]
    public void IsTheDigestOfAllInOneRow()
    {
        Dataset data = TinyData.Make();
        var bytes = new List<byte>();
        Add(bytes, data.Items);
        Add(bytes, data.Users);
        foreach (string split in new[] { "train", "valid" })
        {
            Add(bytes, split);
            Add<int>(bytes, data.Splits[split].Users);
            Add<int>(bytes, data.Splits[split].Items);
            Add<long>(bytes, data.Splits[split].Timestamps ?? []);
        }

        Assert.That(Fingerprint.Of(data), Is.EqualTo(Convert.ToHexStringLower(SHA256.HashData(bytes.ToArray()))));
    }

    [Test]
    public void LargeArraysAreNotCopied()
    {
        // 2^28 of them would be more bytes than an array or a span can have.
        long[] values = [.. Enumerable.Range(0, 2_000_000).Select(x => (long)x << 20)];
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Fingerprint.Add(hash, values);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(2 << 20));

        byte[] all = [.. BitConverter.GetBytes(values.Length), .. MemoryMarshal.AsBytes(values.AsSpan())];
        Assert.That(hash.GetHashAndReset(), Is.EqualTo(SHA256.HashData(all)));
    }

    private static void Add(List<byte> bytes, FeatureTable table)
    {
        Add(bytes, table.Ids);
        foreach (FeatureColumn column in table.Columns)
        {
            Add(bytes, column.Name);
            Add(bytes, column.Vocabulary);
            Add<int>(bytes, column.Values);
            Add<long>(bytes, column.Offsets ?? []);
        }
    }

    private static void Add(List<byte> bytes, string[] texts)
    {
        Add<int>(bytes, [texts.Length]);
        foreach (string text in texts)
        {
            Add(bytes, text);
        }
    }

    private static void Add(List<byte> bytes, string text) => Add<byte>(bytes, Encoding.UTF8.GetBytes(text));

    private static void Add<T>(List<byte> bytes, T[] values)
        where T : unmanaged
    {
        bytes.AddRange(BitConverter.GetBytes(values.Length));
        bytes.AddRange(MemoryMarshal.AsBytes(values.AsSpan()));
    }
}
