using Twintail;

namespace Twintail.Tests.Ops;

/// <summary>A fixture with a CPU device per test; every test must leave it without live buffers.</summary>
internal abstract class OpFixture
{
    private Device? _device;

    protected Device Device => _device ?? throw new InvalidOperationException("outside of a test");

    [SetUp]
    public void OpenDevice() => _device = Device.Cpu(threads: 2);

    [TearDown]
    public void CloseDevice()
    {
        long live = Device.Info.LiveBytes;
        _device?.Dispose();
        _device = null;
        if (TestContext.CurrentContext.Result.Outcome.Status == NUnit.Framework.Interfaces.TestStatus.Passed)
        {
            Assert.That(live, Is.Zero, "bytes of buffers that the test or the op has not freed");
        }
    }

    /// <summary>Runs a computation with several numbers of threads; the same bits must come out.</summary>
    protected static void SameForAnyThreadCount(Func<Device, Array[]> compute)
    {
        Array[]? first = null;
        foreach (int threads in new[] { 1, 2, 3, 5 })
        {
            using Device device = Device.Cpu(threads);
            Array[] result = compute(device);
            Array[] again = compute(device);
            first ??= result;
            for (int i = 0; i < result.Length; i++)
            {
                Assert.That(Bits.Of(result[i]), Is.EqualTo(Bits.Of(first[i])), $"output {i} with {threads} threads and with 1");
                Assert.That(Bits.Of(again[i]), Is.EqualTo(Bits.Of(result[i])), $"output {i}, repeated with {threads} threads");
            }
        }
    }

    protected static BadArgumentException Refused(string argument, Action call)
    {
        BadArgumentException error = Assert.Throws<BadArgumentException>(() => call())!;
        Assert.That(error.Argument, Is.EqualTo(argument), error.Message);
        Assert.That(error.Expected, Is.Not.Empty);
        Assert.That(error.Got, Is.Not.Empty);
        Assert.That(error.Message, Does.Contain(error.Argument).And.Contain(error.Expected).And.Contain(error.Got));
        return error;
    }
}

internal static class Bits
{
    /// <summary>The bytes of an array, so that NaN and -0 are compared too.</summary>
    public static byte[] Of(Array values)
    {
        var bytes = new byte[Buffer.ByteLength(values)];
        Buffer.BlockCopy(values, 0, bytes, 0, bytes.Length);
        return bytes;
    }
}
