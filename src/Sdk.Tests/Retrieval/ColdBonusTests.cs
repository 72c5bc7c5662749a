using Twintail.Evaluation;
using Twintail.Features;
using Twintail.Model;
using Twintail.Ops;
using Twintail.Retrieval;
using Twintail.Tests.Evaluation;
using Twintail.Tests.Ops;
using Twintail.Tests.Training;
using Twintail.Training;

namespace Twintail.Tests.Retrieval;

internal sealed class ColdBonusTests : TrainerFixture
{
    [Test]
    public void VectorsWorkedOutByHand()
    {
        // (3, 4) has norm 5: (0.6, 0.8). A vector without direction has cosine 0 with everything, and still its bonus.
        Assert.That(ColdBonus.Items([3, 4, 0, 2, 0, 0], [0, 0, 0.25f]), Is.EqualTo(new[] { 0.6f, 0.8f, 0, 0, 1, 0, 0, 0, 0.25f }));
        Assert.That(ColdBonus.Users([0, -2, 3, 4], 2), Is.EqualTo(new[] { 0, -1f, 1, 0.6f, 0.8f, 1 }));
        Assert.That(ColdBonus.Users([], 0), Is.Empty);
    }

    [Test]
    public void ColdItemsGainTheBonusAndWarmOnesKeepTheirScores()
    {
        using var trainer = new Trainer(Device, Data(), Small());
        trainer.Run();
        TwoTowerModel model = trainer.Model;
        int items = model.Catalogue.Items.Rows;
        bool IsCold(ScoredItem item) => model.Catalogue.Clicks[item.Row] == 0;
        Dictionary<int, float> plain = model.Recommend("u7", items, excludeHistory: false).Items.ToDictionary(x => x.Row, x => x.Score);

        foreach (float bonus in new[] { 0.1f, -0.3f, 0.1f, 2 })
        {
            IReadOnlyList<ScoredItem> list = model.Recommend("u7", items, excludeHistory: false, coldBonus: bonus).Items;

            Assert.That(list.Any(IsCold) && !list.All(IsCold), "the data has both kinds");
            Assert.That(list, Has.Count.EqualTo(items));
            Assert.That(list.Select(x => x.Score), Is.Ordered.Descending);
            foreach (ScoredItem item in list)
            {
                Assert.That(item.Score, Is.EqualTo(plain[item.Row] + (IsCold(item) ? bonus : 0)).Within(1e-5), $"{item.Row} {bonus}");
            }
        }

        int cold = model.Catalogue.Clicks.Count(x => x == 0);
        string[] history = [.. model.Catalogue.HistoryOf(7).ToArray().Select(x => $"i{x}")];
        Assert.That(model.Recommend(history, cold, coldBonus: 2).Items.All(IsCold), "2 puts all cold items first");
        Assert.That(model.Recommend("u7", 5, coldBonus: 0).Items.Select(x => x.ToString()), Is.EqualTo(model.Recommend("u7", 5).Items.Select(x => x.ToString())));
    }

    [Test]
    public void AnEvaluationWithTheLeastBonusFindsNothingNewAndWarmItemsAsIfAlone()
    {
        // 90 candidates in all, of which the 30 last never have a training click; k is far below the warm ones.
        var draw = Draw.Fresh();
        const int Items = 90, Users = 60, D = 6;
        List<(int, int)> train = [.. Enumerable.Range(0, 60).Select(i => (Users, i)), .. Enumerable.Range(0, 200).Select(_ => (draw.Int(0, Users), draw.Int(0, 60)))];
        List<(int, int)> test = [.. Enumerable.Range(0, Users).SelectMany(u => new[] { (u, draw.Int(0, 60)), (u, draw.Int(60, Items)) })];
        Dataset data = EvaluatorTests.Data(Items, train, test, Users + 1);
        Catalogue catalogue = Catalogue.FromDataset(data);
        var cosines = new EvaluatorTests.FixedRanker(Device, D, draw.Normals(Items * D), draw.Normals((Users + 1) * D), Similarity.Cosine);
        EvaluationReport Report(float bonus, Candidates candidates) =>
            new Evaluator(catalogue, data.Splits, new EvaluationOptions { Ks = [10], Candidates = candidates, BootstrapSamples = 0 })
                .Evaluate(new BonusRanker(cosines, Array.ConvertAll(catalogue.Clicks, c => c == 0 ? bonus : 0)), "x");

        EvaluationReport least = Report(-2, Candidates.All), most = Report(2, Candidates.All);
        EvaluationReport warm = Report(0, Candidates.Warm), cold = Report(0, Candidates.Cold);

        Assert.That(least["cold"].Recall(10).Value, Is.Zero);
        foreach (string slice in new[] { "head", "mid", "tail" })
        {
            Assert.That(least[slice].Recall(10).Value, Is.EqualTo(warm[slice].Recall(10).Value), slice);
            Assert.That(most[slice].Recall(10).Value, Is.Zero, slice);
        }

        Assert.That(most["cold"].Recall(10).Value, Is.EqualTo(cold["cold"].Recall(10).Value));
        Assert.That(cold["cold"].Recall(10).Value, Is.GreaterThan(0));
    }

    [Test]
    public void RefusesWhatIsNoDifferenceOfCosines([Values(float.NaN, 2.1f, -2.1f, float.PositiveInfinity)] float bonus)
    {
        using var trainer = new Trainer(Device, Data(), Small() with { Epochs = 1 });

        Refused("cold_bonus", () => trainer.Model.Recommend("u7", 3, coldBonus: bonus));
        Refused("cold_bonus", () => trainer.Model.Recommend(["i1"], 3, coldBonus: bonus));
        Refused("cold_bonus", () => new EvaluationOptions { ColdBonus = bonus }.Validate());
    }
}
