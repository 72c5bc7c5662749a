using Twintail.Ops;

namespace Twintail.Tests.Ops;

internal sealed class DeviceRandomTests : OpFixture
{
    // Known answers of Random123 (tests/kat_vectors, philox4x32 10).
    [TestCase(0u, 0u, 0u, 0u, 0u, 0u, 0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u)]
    [TestCase(~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu)]
    [TestCase(0xa4093822u, 0x299f31d0u, 0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u, 0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u)]
    public void KnownAnswers(uint k0, uint k1, uint c0, uint c1, uint c2, uint c3, uint r0, uint r1, uint r2, uint r3)
    {
        Assert.That(DeviceRandom.Philox([k0, k1], [c0, c1, c2, c3]), Is.EqualTo(new[] { r0, r1, r2, r3 }));
        Assert.That(PhiloxReference.Block([k0, k1], [c0, c1, c2, c3]), Is.EqualTo(new[] { r0, r1, r2, r3 }), "the tests' own");
    }

    [Test]
    public void UniformsFollowTheFormula([Values(1, 3, 1000)] int count)
    {
        Draw draw = Draw.Fresh();
        ulong seed = draw.Bits();
        uint purpose = (uint)draw.Bits();
        long step = (long)(draw.Bits() & 0xFFFF_FFFF_FFFF);
        using DeviceBuffer<float> numbers = Device.Allocate<float>(count);
        DeviceRandom.FillUniform(Device, seed, purpose, step, -2, 3, numbers);
        float[] values = numbers.ToArray();
        for (int i = 0; i < count; i++)
        {
            uint u = PhiloxReference.At(seed, purpose, step, 0, (uint)(i / 4))[i % 4];
            double expected = -2 + (5 * ((u >> 8) / 16777216.0));
            Assert.That(values[i], Is.EqualTo(expected).Within(5e-7), $"element {i}");
            Assert.That(values[i], Is.InRange(-2f, 3f));
        }
    }

    [Test]
    public void SampledRowsFollowTheFormula([Values(1, 7, 1000, int.MaxValue)] int bound)
    {
        Draw draw = Draw.Fresh();
        ulong seed = draw.Bits();
        uint purpose = (uint)draw.Bits();
        long step = (long)(draw.Bits() & 0xFFFF_FFFF_FFFF);
        using DeviceBuffer<int> rows = Device.Allocate<int>(333);
        DeviceRandom.SampleRows(Device, seed, purpose, step, bound, rows);
        int[] values = rows.ToArray();
        for (int i = 0; i < values.Length; i++)
        {
            Assert.That(values[i], Is.EqualTo(PhiloxReference.Below(PhiloxReference.At(seed, purpose, step, 0, (uint)i), bound)), $"row {i}");
        }
    }

    [Test]
    public void SampledRowsAreUniform()
    {
        const int bound = 50, count = 200_000;
        Draw draw = Draw.Fresh();
        using DeviceBuffer<int> rows = Device.Allocate<int>(count);
        DeviceRandom.SampleRows(Device, draw.Bits(), 1, 0, bound, rows);
        var counts = new int[bound];
        foreach (int row in rows.ToArray())
        {
            counts[row]++;
        }

        // χ² with 49 degrees of freedom exceeds 120 with probability below 1e-7.
        double expected = (double)count / bound;
        Assert.That(counts.Sum(c => (c - expected) * (c - expected) / expected), Is.LessThan(120));
    }

    [Test]
    public void AnEpochsOrderHasEachClickOnceAndIsTheSameInParts([Values(1, 100, 4097)] int count)
    {
        Draw draw = Draw.Fresh();
        ulong seed = draw.Bits();
        int[] order = draw.Permutation(count);
        using DeviceBuffer<int> users = Device.Upload(order);
        using DeviceBuffer<int> items = Device.Upload(Array.ConvertAll(order, x => x + count));
        using DeviceBuffer<int> outUsers = Device.Allocate<int>(count);
        using DeviceBuffer<int> outItems = Device.Allocate<int>(count);
        DeviceRandom.SampleClicks(Device, seed, 2, 7, users, items, 0, outUsers, outItems);
        int[] whole = outUsers.ToArray();
        Assert.That(whole.Order(), Is.EqualTo(Enumerable.Range(0, count)));
        Assert.That(outItems.ToArray(), Is.EqualTo(Array.ConvertAll(whole, x => x + count)), "clicks stay together");

        int half = count / 2;
        using DeviceBuffer<int> laterUsers = Device.Allocate<int>(count - half);
        using DeviceBuffer<int> laterItems = Device.Allocate<int>(count - half);
        DeviceRandom.SampleClicks(Device, seed, 2, 7, users, items, half, laterUsers, laterItems);
        Assert.That(laterUsers.ToArray(), Is.EqualTo(whole[half..]));

        if (count > 1)
        {
            DeviceRandom.SampleClicks(Device, seed, 2, 8, users, items, 0, outUsers, outItems);
            Assert.That(outUsers.ToArray(), Is.Not.EqualTo(whole), "another epoch");
        }
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        ulong seed = Draw.Fresh().Bits();
        SameForAnyThreadCount(device =>
        {
            using DeviceBuffer<float> uniforms = device.Allocate<float>(100_003);
            using DeviceBuffer<int> rows = device.Allocate<int>(100_003);
            DeviceRandom.FillUniform(device, seed, 3, 4, 0, 1, uniforms);
            DeviceRandom.SampleRows(device, seed, 3, 4, 12345, rows);
            using DeviceBuffer<int> users = device.Allocate<int>(100_003);
            using DeviceBuffer<int> items = device.Allocate<int>(100_003);
            DeviceRandom.SampleClicks(device, seed, 3, 4, rows, rows, 0, users, items);
            return [uniforms.ToArray(), rows.ToArray(), users.ToArray(), items.ToArray()];
        });
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> floats = Device.Allocate<float>(4);
        using DeviceBuffer<int> ints = Device.Allocate<int>(4);
        Refused("key", () => DeviceRandom.Philox([1], [1, 2, 3, 4]));
        Refused("counter", () => DeviceRandom.Philox([1, 2], [1, 2, 3]));
        Refused("lo", () => DeviceRandom.FillUniform(Device, 1, 1, 1, float.NaN, 1, floats));
        Refused("hi", () => DeviceRandom.FillUniform(Device, 1, 1, 1, 0, float.PositiveInfinity, floats));
        Refused("step", () => DeviceRandom.FillUniform(Device, 1, 1, -1, 0, 1, floats));
        Refused("step", () => DeviceRandom.SampleRows(Device, 1, 1, 1L << 48, 10, ints));
        Refused("bound", () => DeviceRandom.SampleRows(Device, 1, 1, 1, 0, ints));
        Refused("bound", () => DeviceRandom.SampleRows(Device, 1, 1, 1, (1L << 31) + 1, ints));
        Refused("epoch", () => DeviceRandom.SampleClicks(Device, 1, 1, -1, ints, ints, 0, ints, ints));
        Refused("n", () => DeviceRandom.SampleClicks(Device, 1, 1, 1, ints, ints, 1, ints, ints));
        using DeviceBuffer<int> short1 = Device.Allocate<int>(3);
        Refused("items", () => DeviceRandom.SampleClicks(Device, 1, 1, 1, ints, short1, 0, ints, ints));
        Refused("outItems", () => DeviceRandom.SampleClicks(Device, 1, 1, 1, ints, ints, 0, ints, short1));
        unsafe
        {
            Refused("count", () => DeviceRandom.FillUniform(Device, 1, 1, 1, 0, 1, floats.Pointer, -1));
            Refused("out", () => DeviceRandom.FillUniform(Device, 1, 1, 1, 0, 1, null, 4));
            Refused("n", () => DeviceRandom.SampleRows(Device, 1, 1, 1, 10, ints.Pointer, -1));
            Refused("out", () => DeviceRandom.SampleRows(Device, 1, 1, 1, 10, null, 4));
        }
    }
}
