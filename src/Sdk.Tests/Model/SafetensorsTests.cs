using System.Text;
using Twintail.Storage;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Model;

internal sealed class SafetensorsTests : OpFixture
{
    private string _path = "";

    [SetUp]
    public void Name() => _path = Path.Combine(TestContext.CurrentContext.WorkDirectory, $"{Guid.NewGuid():N}.safetensors");

    [TearDown]
    public void Delete() => File.Delete(_path);

    private void Write(IReadOnlyList<TensorData> tensors, Dictionary<string, string>? metadata = null) =>
        new AtomicFile().Write(_path, stream => SafetensorsWriter.Write(stream, tensors, metadata));

    [Test]
    public void GivesBackEveryTypeAndText()
    {
        var draw = Draw.Fresh();
        float[] floats = draw.Normals(700_000);
        floats[3] = float.NaN;
        floats[4] = -0f;
        using DeviceBuffer<float> device = Device.Upload(floats);
        Write(
            [
                TensorData.Of("floats", floats, 7, 100_000), TensorData.Of("ints", new[] { 1, -2, int.MaxValue }),
                TensorData.Of("longs", new[] { long.MinValue }), TensorData.Of("bytes", new byte[] { 1, 2, 255 }),
                TensorData.Of("doubles", new[] { Math.PI }), TensorData.Of("empty", Array.Empty<int>()),
                TensorData.Of("device", device), TensorData.OfPart("part", device, 5, 2, 3),
            ],
            new Dictionary<string, string> { ["note"] = "ä \"quoted\" \n 日本" });

        using var file = new SafetensorsReader(_path);

        Assert.That(file.Metadata["note"], Is.EqualTo("ä \"quoted\" \n 日本"));
        Assert.That(file.Shape("floats"), Is.EqualTo(new long[] { 7, 100_000 }));
        Assert.That(Bits.Of(file.Read<float>("floats")), Is.EqualTo(Bits.Of(floats)));
        Assert.That(Bits.Of(file.Read<float>("device")), Is.EqualTo(Bits.Of(floats)));
        Assert.That(file.Read<float>("part"), Is.EqualTo(floats[5..11]));
        Assert.That(file.Read<int>("ints"), Is.EqualTo(new[] { 1, -2, int.MaxValue }));
        Assert.That(file.Read<long>("longs"), Is.EqualTo(new[] { long.MinValue }));
        Assert.That(file.Read<byte>("bytes"), Is.EqualTo(new byte[] { 1, 2, 255 }));
        Assert.That(file.Read<double>("doubles"), Is.EqualTo(new[] { Math.PI }));
        Assert.That(file.Read<int>("empty"), Is.Empty);
        using DeviceBuffer<float> back = Device.Allocate<float>(floats.Length);
        file.ReadTo("device", back, 0, back.Length);
        Assert.That(Bits.Of(back.ToArray()), Is.EqualTo(Bits.Of(floats)));
    }

    [Test]
    public void RefusesTwoTensorsOfOneName()
    {
        BadArgumentException error = Refused("tensors", () => Write([TensorData.Of("w", new[] { 1f }), TensorData.Of("w", new[] { 2 })]));
        Assert.That(error.Message, Does.Contain("'w' twice"));
        Assert.That(File.Exists(_path), Is.False);
    }

    [Test]
    public void TextsOfAnyLengthComeBack()
    {
        // Around the 2^20 bytes that are written at a time, and more than they hold.
        string[] texts = ["", new string('a', 1 << 19), new string('ü', 1 << 18), "日本", new string('b', 3_000_001), "", "c"];
        Write([.. StringTensor.Of("t", texts), .. StringTensor.Of("none", [])]);

        using var file = new SafetensorsReader(_path);

        Assert.That(StringTensor.Read(file, "t"), Is.EqualTo(texts));
        Assert.That(StringTensor.Read(file, "none"), Is.Empty);
    }

    [Test]
    public void TextsAreNotPutTogetherToBeWritten()
    {
        // As one array they could not be more than 2 GB.
        string[] texts = [.. Enumerable.Repeat(new string('a', 1000), 20_000)];
        long before = GC.GetAllocatedBytesForCurrentThread();
        SafetensorsWriter.Write(Stream.Null, [.. StringTensor.Of("t", texts)]);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(8 << 20));
    }

    [Test]
    public void ReadsAFileOfAnotherWriter()
    {
        // As the reference implementation writes it: no metadata, no spaces, no digest.
        byte[] header = Encoding.UTF8.GetBytes("{\"w\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}");
        File.WriteAllBytes(_path, [.. BitConverter.GetBytes((long)header.Length), .. header, .. BitConverter.GetBytes(1f), .. BitConverter.GetBytes(2f)]);

        using var file = new SafetensorsReader(_path, needsDigest: false);

        Assert.That(file.Read<float>("w"), Is.EqualTo(new[] { 1f, 2f }));
        Assert.Throws<CorruptFileException>(() => new SafetensorsReader(_path), "one of ours would have a digest");
    }

    [Test]
    public void NoticesEveryFlippedBitAndEveryCut()
    {
        Write([TensorData.Of("w", new[] { 1f, 2f, 3f }), TensorData.Of("ids", new[] { 4, 5 })], new Dictionary<string, string> { ["state"] = "{\"step\": 17}" });
        byte[] whole = File.ReadAllBytes(_path);
        for (int at = 0; at < whole.Length; at++)
        {
            byte[] damaged = [.. whole];
            damaged[at] ^= 1 << 3;
            Corrupt(damaged, $"bit 3 of byte {at} flipped");
            Corrupt(whole[..at], $"cut to {at} bytes");
        }

        Corrupt([.. whole, 0], "one byte too many");
    }

    [TestCase("{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", TestName = "shape and bytes differ")]
    [TestCase("{\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", TestName = "hole before the first tensor")]
    [TestCase("{\"v\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"w\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", TestName = "overlap")]
    [TestCase("{\"w\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", TestName = "negative shape")]
    [TestCase("{\"w\":{\"shape\":[2],\"data_offsets\":[0,8]}}", TestName = "no type")]
    [TestCase("{\"w\":[1,2]}", TestName = "no object")]
    [TestCase("{\"w\":", TestName = "no JSON")]
    public void RefusesAHeaderThatContradictsItself(string json)
    {
        byte[] header = Encoding.UTF8.GetBytes(json);
        Corrupt([.. BitConverter.GetBytes((long)header.Length), .. header, .. new byte[8]], json, needsDigest: false);
    }

    [Test]
    public void NamesFileAndTensorWhenTypeOrNameIsWrong()
    {
        Write([TensorData.Of("w", new[] { 1f })]);
        using var file = new SafetensorsReader(_path);
        using DeviceBuffer<float> two = Device.Allocate<float>(2);

        CorruptFileException error = Assert.Throws<CorruptFileException>(() => file.Read<int>("w"))!;
        Assert.That(error.Message, Does.Contain(_path).And.Contain("'w'").And.Contain("F32").And.Contain("I32"));
        Assert.Throws<CorruptFileException>(() => file.Read<float>("v"));
        Assert.Throws<CorruptFileException>(() => file.ReadTo("w", two, 0, 2));
    }

    [Test]
    public void AMissingFileIsAnIoError() => Assert.Throws<FileNotFoundException>(() => new SafetensorsReader(_path));

    private void Corrupt(byte[] bytes, string what, bool needsDigest = true)
    {
        File.WriteAllBytes(_path, bytes);
        CorruptFileException error = Assert.Throws<CorruptFileException>(() => new SafetensorsReader(_path, needsDigest).Dispose(), what)!;
        Assert.That(error.Path, Is.EqualTo(_path));
    }
}
