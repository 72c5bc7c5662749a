using Twintail.Sampling;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Sampling;

internal sealed class StreamingFrequencyTests
{
    [Test]
    public void FollowsTheFormulaStepByStep()
    {
        // α = 0.5. Item 7 in batches 2, 3 and 7: gaps 2 (first sight), 1, 4: B = 2, 0.5 * 2 + 0.5 * 1 = 1.5, 0.75 + 2 = 2.75.
        var frequency = new StreamingFrequency(1 << 16, rate: 0.5);
        foreach (int[] batch in new int[][] { [1], [7, 7, 2], [7], [1], [2], [3], [7] })
        {
            frequency.Observe(batch);
        }

        Assert.That(frequency.Step, Is.EqualTo(7));
        Assert.That(frequency.Probability(7), Is.EqualTo(1 / 2.75).Within(1e-12));
        Assert.That(frequency.Probability(99), Is.EqualTo(1 / 8.0), "never seen in 7 batches");
    }

    [Test]
    public void ComesNearTheTrueProbabilities()
    {
        // A batch has 8 draws from Zipf-like shares; the probability of being in it is 1 - (1 - p)^8.
        var draw = Draw.Fresh();
        double[] shares = [.5, .25, .15, .07, .03];
        var frequency = new StreamingFrequency(1 << 16, rate: 0.01, hashes: 2);
        for (int step = 0; step < 20_000; step++)
        {
            frequency.Observe(draw.Fill(8, () => Pick(shares, draw.Uniform())));
        }

        for (int item = 0; item < shares.Length; item++)
        {
            double inBatch = 1 - Math.Pow(1 - shares[item], 8);
            Assert.That(frequency.Probability(item), Is.EqualTo(inBatch).Within(35).Percent, $"item {item}");
        }
    }

    [Test]
    public void MoreHashesUndoCollisions()
    {
        // 30 items on 40 buckets: with one hash some rare item shares a bucket with one that is in every batch and looks as frequent.
        int[] common = [.. Enumerable.Range(0, 15)];
        double[] worst = [.. new[] { 1, 8 }.Select(hashes =>
        {
            var frequency = new StreamingFrequency(40, rate: 0.5, hashes);
            for (int step = 0; step < 200; step++)
            {
                frequency.Observe(step % 50 == 49 ? [.. common, .. Enumerable.Range(15, 15)] : common);
            }

            return Enumerable.Range(15, 15).Average(frequency.Probability);
        })];

        Assert.That(worst[1], Is.LessThan(worst[0] / 2));
    }

    [Test]
    public void RefusesValuesOutOfRange()
    {
        Assert.Throws<BadArgumentException>(() => new StreamingFrequency(0));
        Assert.Throws<BadArgumentException>(() => new StreamingFrequency(1, 0));
        Assert.Throws<BadArgumentException>(() => new StreamingFrequency(1, double.NaN));
        Assert.Throws<BadArgumentException>(() => new StreamingFrequency(1, 0.5, 0));
    }

    private static int Pick(double[] shares, double u)
    {
        int item = 0;
        while (item < shares.Length - 1 && u >= shares[item])
        {
            u -= shares[item++];
        }

        return item;
    }
}
