using Twintail.Augmentation;
using Twintail.Features;
using Twintail.Ops;
using Twintail.Tests.Ops;
using Twintail.Training;

namespace Twintail.Tests.Augmentation;

/// <summary>The course's own examples of the four transformations.</summary>
internal sealed class ViewTests : OpFixture
{
    // Female goes with beauty, male with digital; the keyword of an item is its own, the city has nothing to do with anything.
    private static readonly FeatureTable Items = new(
        [.. Enumerable.Range(0, 40).Select(x => $"item{x}")],
        [
            new FeatureColumn("gender", ["", "female", "male"], Repeat(i => 1 + (i % 2))),
            new FeatureColumn("category", ["", "beauty", "digital"], Repeat(i => 1 + (i % 2))),
            new FeatureColumn("city", ["", "a", "b", "c", "d"], Repeat(i => 1 + (i / 2 % 4))),
            new FeatureColumn("labels", ["", "beauty", "photo", "digital", "sale"], [.. Enumerable.Range(0, 120).Select(i => 1 + (i % 4))], [.. Enumerable.Range(0, 41).Select(i => 3L * i)]),
        ]);

    private static int[] Repeat(Func<int, int> value) => [.. Enumerable.Range(0, 40).Select(value)];

    private static TrainingOptions With(Transforms transforms) => new() { Augmentation = transforms };

    private static string[] Masked(IReadOnlyList<FeaturePreview> view) => [.. view.Where(x => x.IsMasked).Select(x => x.Feature)];

    [Test]
    public void RandomMaskReplacesWholeFeaturesByTheDefault()
    {
        // {digital, photo} → {default}: nothing is kept and everything dropped; what is not masked keeps everything.
        TrainingOptions options = With(Transforms.RandomMask);
        int masked = 0;
        for (int step = 0; step < 200; step++)
        {
            foreach (FeaturePreview feature in ViewPreview.Create(Device, Items, 0, options, step).View1)
            {
                Assert.That(feature.IsMasked ? feature.Kept : feature.Dropped, Is.Empty);
                masked += feature.IsMasked ? 1 : 0;
            }
        }

        // 1000 decisions at rate 1/2: standard deviation 16.
        Assert.That(masked, Is.EqualTo(500).Within(80));
    }

    [Test]
    public void ValueDropoutKeepsAPartOfTheValues()
    {
        // {beauty, photo, digital} → e.g. {beauty}; single-valued features stay.
        var sizes = new HashSet<int>();
        for (int step = 0; step < 60; step++)
        {
            ViewPreview preview = ViewPreview.Create(Device, Items, 0, With(Transforms.ValueDropout), step);
            Assert.That(Masked(preview.View1), Is.Empty);
            Assert.That(preview.View1[1].Kept, Is.EqualTo(new[] { "female" }));
            FeaturePreview labels = preview.View1[4];
            Assert.That(labels.Kept.Concat(labels.Dropped), Is.EquivalentTo(new[] { "beauty", "photo", "digital" }));
            sizes.Add(labels.Kept.Count);
        }

        Assert.That(sizes, Is.EquivalentTo(new[] { 0, 1, 2, 3 }));
    }

    [Test]
    public void ComplementaryViewsShareNothingAndMissNothing()
    {
        // {id, keyword} | {category, city}: every feature is in exactly one of the views, ⌊5/2⌋ are masked in the first.
        for (int step = 0; step < 50; step++)
        {
            ViewPreview preview = ViewPreview.Create(Device, Items, 3, With(Transforms.Complementary), step);
            Assert.That(Masked(preview.View1), Has.Length.EqualTo(2));
            Assert.That(Masked(preview.View1).Concat(Masked(preview.View2)), Is.EquivalentTo(preview.View1.Select(x => x.Feature)));
        }
    }

    [Test]
    public void ByDefaultTheViewsAreHalves()
    {
        var options = new TrainingOptions();
        Assert.That(options.IsSelfSupervised);
        Assert.That(options.Augmentation, Is.EqualTo(Transforms.Complementary), "docs/quality.md, The default views");
        ViewPreview preview = ViewPreview.Create(Device, Items, 3, options);
        Assert.That(Masked(preview.View1), Is.Not.Empty);
        Assert.That(Masked(preview.View1).Intersect(Masked(preview.View2)), Is.Empty);
    }

    [TestCase(SecondView.Complement)]
    [TestCase(SecondView.Independent)]
    public void CorrelatedMasksFemaleTogetherWithBeauty(SecondView second)
    {
        TrainingOptions options = With(Transforms.Correlated) with { SecondView = second };
        int both = 0;
        for (int step = 0; step < 100; step++)
        {
            ViewPreview preview = ViewPreview.Create(Device, Items, 0, options, step);
            string[] first = Masked(preview.View1);
            Assert.That(first, Has.Length.EqualTo(3), "the seed and ⌊5/2⌋ = 2 others");
            if (second == SecondView.Complement)
            {
                Assert.That(first.Concat(Masked(preview.View2)), Is.EquivalentTo(preview.View1.Select(x => x.Feature)));
            }
            else
            {
                Assert.That(Masked(preview.View2), Has.Length.EqualTo(3));
            }

            Assert.That(first.Contains("gender"), Is.EqualTo(first.Contains("category")), string.Join(" ", first));
            both += first.Contains("gender") ? 1 : 0;
        }

        Assert.That(both, Is.GreaterThan(30));
    }

    [Test]
    public void SetsOfTheIdFollowTheMeasure()
    {
        MutualInformation information = MutualInformation.Compute(Device, Items);

        // Plain: MI(id, v) = H(v): labels and city (ln 4), then gender or category (ln 2, the lower index).
        Assert.That(CorrelatedSets.Create(information, 40, Relatedness.Plain)[0], Is.EqualTo(0b11001UL));

        // Adjusted: the id is related to nothing, so that no other seed takes it along while others are related.
        ulong[] adjusted = CorrelatedSets.Create(information, 40, Relatedness.Adjusted);
        Assert.That(adjusted[1] & 0b00110, Is.EqualTo(0b00110UL));
        Assert.That(adjusted[2] & 0b00110, Is.EqualTo(0b00110UL));
    }

    [Test]
    public void RefusesARowThatTheCatalogueLacks() => Refused("row", () => ViewPreview.Create(Device, Items, 40, new TrainingOptions()));
}
