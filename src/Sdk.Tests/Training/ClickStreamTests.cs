using Twintail.Features;
using Twintail.Tests.Ops;
using Twintail.Training;

namespace Twintail.Tests.Training;

internal sealed unsafe class ClickStreamTests : OpFixture
{
    [TestCase(1, 5)]
    [TestCase(10, 10)]
    [TestCase(103, 10)]
    [TestCase(1000, 64)]
    public void EveryEpochHasEachClickOnceInAnOrderOfItsOwn(int count, int batchSize)
    {
        // User and item of click i are i and 7 + 3 i.
        int[] clicks = [.. Enumerable.Range(0, count)];
        var log = new Interactions(clicks, Array.ConvertAll(clicks, i => 7 + (3 * i)));
        using var stream = new ClickStream(Device, log, batchSize, 5);
        Assert.That(stream.StepsPerEpoch, Is.EqualTo((count + batchSize - 1) / batchSize));

        int[] first = Epoch(stream, 0);
        int[] second = Epoch(stream, 1);
        Assert.That(first.Order(), Is.EqualTo(clicks));
        Assert.That(second.Order(), Is.EqualTo(clicks));
        Assert.That(Epoch(stream, 0), Is.EqualTo(first), "a function of seed and epoch");
        if (count > 1)
        {
            Assert.That(first, Is.Not.EqualTo(clicks));
            Assert.That(second, Is.Not.EqualTo(first));
            using var other = new ClickStream(Device, log, batchSize, 6);
            Assert.That(Epoch(other, 0), Is.Not.EqualTo(first), "another seed");
        }
    }

    private int[] Epoch(ClickStream stream, long epoch)
    {
        var clicks = new List<int>();
        int least = int.MaxValue;
        int most = 0;
        using DeviceBuffer<int> users = Device.Allocate<int>(stream.MaxBatch);
        using DeviceBuffer<int> items = Device.Allocate<int>(stream.MaxBatch);
        for (long step = epoch * stream.StepsPerEpoch; step < (epoch + 1) * stream.StepsPerEpoch; step++)
        {
            int n = stream.BatchSize(step);
            least = Math.Min(least, n);
            most = Math.Max(most, n);
            stream.Draw(step, users.Pointer, items.Pointer);
            clicks.AddRange(users.ToArray()[..n]);
            Assert.That(items.ToArray()[..n], Is.EqualTo(Array.ConvertAll(users.ToArray()[..n], i => 7 + (3 * i))));
        }

        Assert.That(most - least, Is.LessThanOrEqualTo(1));
        Assert.That(most, Is.EqualTo(stream.MaxBatch));
        return [.. clicks];
    }
}
