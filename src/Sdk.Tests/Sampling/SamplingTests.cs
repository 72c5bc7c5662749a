using Twintail.Ops;
using Twintail.Sampling;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Sampling;

internal sealed class SamplingTests : OpFixture
{
    [Test]
    public void SharesAndLogQFollowTheFormulas()
    {
        // Clicks 6, 3, 1, 0 of 10. Mixed with B' = 30 uniform draws for n = 10 clicks over 4 items:
        // Q = (10 p + 30 / 4) / 40 = (6 + 7.5) / 40, (3 + 7.5) / 40, (1 + 7.5) / 40, 7.5 / 40, which adds up to 1.
        int[] clicks = [6, 3, 1, 0];

        Assert.That(ClickProbabilities.Shares(clicks), Is.EqualTo(new[] { .6, .3, .1, 0 }));
        Assert.That(ClickProbabilities.LogQ(clicks), Is.EqualTo(new[] { Math.Log(.6), Math.Log(.3), Math.Log(.1), 0 }).Within(1e-6));
        Assert.That(ClickProbabilities.LogQ(clicks, .5)[1], Is.EqualTo(.5 * Math.Log(.3)).Within(1e-6));
        double[] mixed = [.3375, .2625, .2125, .1875];
        Assert.That(mixed.Sum(), Is.EqualTo(1));
        Assert.That(ClickProbabilities.LogQ(clicks, 1, 10, 30), Is.EqualTo(mixed.Select(x => Math.Log(x))).Within(1e-6));
    }

    [Test]
    public void ItemsOfTheSelfSupervisedLossAreUniform()
    {
        const int Items = 50, Draws = 100_000;
        using DeviceBuffer<int> rows = Device.Allocate<int>(Draws);
        DeviceRandom.SampleRows(Device, 7, (uint)Purpose.SelfItems, 3, Items, rows);
        var counts = new double[Items];
        foreach (int row in rows.ToArray())
        {
            counts[row]++;
        }

        // Chi-squared with 49 degrees of freedom: above 100 with probability 2e-5, but the seed is fixed.
        double expected = (double)Draws / Items;
        Assert.That(counts.Sum(x => (x - expected) * (x - expected) / expected), Is.LessThan(100));
    }

    [Test]
    public void HostAndDeviceDrawTheSameNumbers()
    {
        foreach (long seed in new[] { 0L, 1, -5, 0x123456789ABCDEF })
        {
            using DeviceBuffer<int> rows = Device.Allocate<int>(20);
            DeviceRandom.SampleRows(Device, (ulong)seed, (uint)Purpose.SelfItems, 1L << 33, 1000, rows);
            var random = new Philox(seed, Purpose.SelfItems);
            Assert.That(Enumerable.Range(0, 20).Select(i => random.Below(1000, (uint)i, 0, 1L << 33)), Is.EqualTo(rows.ToArray()));
        }
    }

    [Test]
    public void PermutationsAreWholeAndDifferBySeedAndStep()
    {
        int[] first = new Philox(1, Purpose.ClickOrder).Permutation(1000, 0);

        Assert.That(first.Order(), Is.EqualTo(Enumerable.Range(0, 1000)));
        Assert.That(new Philox(1, Purpose.ClickOrder).Permutation(1000, 0), Is.EqualTo(first));
        Assert.That(new Philox(1, Purpose.ClickOrder).Permutation(1000, 1), Is.Not.EqualTo(first));
        Assert.That(new Philox(2, Purpose.ClickOrder).Permutation(1000, 0), Is.Not.EqualTo(first));

        // Every place is as likely for every element: element 0 over 4000 permutations of 5, standard deviation 25.
        var places = new int[5];
        for (int step = 0; step < 4000; step++)
        {
            places[Array.IndexOf(new Philox(3, Purpose.ClickOrder).Permutation(5, step), 0)]++;
        }

        Assert.That(places, Is.All.EqualTo(800).Within(125));
    }
}
