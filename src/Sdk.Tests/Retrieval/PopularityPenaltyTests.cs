using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Retrieval;
using Twintail.Tests.Evaluation;
using Twintail.Tests.Training;
using Twintail.Training;

namespace Twintail.Tests.Retrieval;

internal sealed class PopularityPenaltyTests : TrainerFixture
{
    [Test]
    public void BonusesWorkedOutByHand()
    {
        // log 100 = 4.60517; an item without a click counts as one with one, whose logarithm is 0.
        Assert.That(PopularityPenalty.Bonuses([100, 1, 0], 0.5f), Is.EqualTo(new[] { -2.302585f, 0, 0 }).Within(1e-6));
        Assert.That(PopularityPenalty.Bonuses([100, 1, 0], -0.5f), Is.EqualTo(new[] { 2.302585f, 0, 0 }).Within(1e-6));
    }

    [Test]
    public void ThePenaltyMovesTheListFromPopularItemsToRareOnes()
    {
        // Items 0, 1, 2 with 8, 4 and 1 training clicks; users 0 to 7 have the cosines .5, .4 and .3 with them, and look for one each.
        // With λ the scores are .5 − λ log 8, .4 − λ log 4, .3: item 1 overtakes item 0 where λ log 2 > .1, that is λ > .1443; item 2
        // overtakes item 1 where λ log 4 > .1 (λ > .0721) and item 0 where λ log 8 > .2 (λ > .0962).
        (int, int)[] train = [.. Enumerable.Range(10, 8).Select(u => (u, 0)), .. Enumerable.Range(10, 4).Select(u => (u, 1)), (10, 2)];
        (int, int)[] test = [(0, 0), (1, 1), (2, 2)];
        Dataset data = EvaluatorTests.Data(3, [.. train], [.. test], 18);
        Catalogue catalogue = Catalogue.FromDataset(data);
        float[] items = [.5f, Rest(.5f), .4f, Rest(.4f), .3f, Rest(.3f)];
        var cosines = new EvaluatorTests.FixedRanker(Device, 2, items, [.. Enumerable.Range(0, 18).SelectMany(_ => new[] { 1f, 0f })], Similarity.Cosine);
        double[] Found(float penalty)
        {
            EvaluationReport report = new Evaluator(catalogue, data.Splits, new EvaluationOptions { Ks = [1], BootstrapSamples = 0, Candidates = Candidates.Warm })
                .Evaluate(new BonusRanker(cosines, PopularityPenalty.Bonuses(catalogue.Clicks, penalty)), "x");
            return [report["all"].Recall(1).Value * 3, report.Find("tail")?.Recall(1).Value ?? double.NaN];
        }

        Assert.That(Found(0)[0], Is.EqualTo(1).Within(1e-9), "everybody gets item 0, which one of three looks for");
        Assert.That(Found(0)[1], Is.Zero);
        Assert.That(Found(0.09f)[1], Is.Zero, "item 0 is still first");
        Assert.That(Found(0.1f)[1], Is.GreaterThan(0), "item 2 is first");
        Assert.That(Found(-0.5f)[1], Is.Zero);
        static float Rest(float cosine) => (float)Math.Sqrt(1 - (cosine * cosine));
    }

    [Test]
    public void RecommendationsSubtractItBesideTheColdBonus()
    {
        using var trainer = new Trainer(Device, Data(), Small());
        trainer.Run();
        TwoTowerModel model = trainer.Model;
        int items = model.Catalogue.Items.Rows;
        int[] clicks = model.Catalogue.Clicks;
        Dictionary<int, float> plain = model.Recommend("u7", items, excludeHistory: false).Items.ToDictionary(x => x.Row, x => x.Score);

        foreach ((float bonus, float penalty) in new[] { (0, 0.2f), (0.3f, 0.2f), (0.3f, -0.1f), (0.3f, 0) })
        {
            IReadOnlyList<ScoredItem> list = model.Recommend("u7", items, excludeHistory: false, bonus, penalty).Items;

            Assert.That(list, Has.Count.EqualTo(items));
            Assert.That(list.Select(x => x.Score), Is.Ordered.Descending);
            foreach (ScoredItem item in list)
            {
                double expected = plain[item.Row] + (clicks[item.Row] == 0 ? bonus : -penalty * Math.Log(clicks[item.Row]));
                Assert.That(item.Score, Is.EqualTo(expected).Within(1e-5), $"{item.Row}: {bonus}, {penalty}");
            }
        }

        Assert.That(clicks.Distinct().Count(), Is.GreaterThan(2), "the data has more and less popular items");
    }

    [Test]
    public void RefusesWhatIsOutOfRange([Values(float.NaN, 1.1f, -1.1f, float.PositiveInfinity)] float penalty)
    {
        using var trainer = new Trainer(Device, Data(), Small() with { Epochs = 1 });

        Refused("popularity_penalty", () => trainer.Model.Recommend("u7", 3, popularityPenalty: penalty));
        Refused("popularity_penalty", () => trainer.Model.Recommend(["i1"], 3, popularityPenalty: penalty));
        Refused("popularity_penalty", () => new EvaluationOptions { PopularityPenalty = penalty }.Validate());
    }
}
