namespace Twintail.Bench.Data;

/// <summary>Decisions made elsewhere (by Twintail), so that results can be compared.</summary>
/// <param name="data">The batch.</param>
/// <param name="steps">What is kept: [step][view][feature].</param>
internal sealed class RecordedAugmenter(BagData data, IReadOnlyList<KeptValues[][]> steps) : Augmenter
{
    private int _step = -1;

    public override void Draw() => _step++;

    public override void Keep(int view, int feature, KeptValues kept)
    {
        KeptValues source = steps[_step][view - 1][feature];
        kept.Clear(source.Count);
        kept.Add(source.Values);
        source.Offsets.CopyTo(kept.Offsets, 0);
    }

    public override void Weigh(int view, int feature, float[] weights)
    {
        KeptValues kept = steps[_step][view - 1][feature];
        BagFeature source = data.Features[feature];
        int next = 0;
        for (int bag = 0; bag < data.Batch.Length; bag++)
        {
            // What is kept is a subsequence of what the row has; the default stands alone.
            int row = data.Batch[bag];
            ReadOnlySpan<int> left = kept.Values[kept.Offsets[bag]..kept.Offsets[bag + 1]];
            bool isDefault = left is [0];
            weights[next++] = isDefault ? 1 : 0;
            for (long i = source.Offsets[row]; i < source.Offsets[row + 1]; i++)
            {
                bool isKept = !isDefault && left.Length > 0 && source.Values[i] == left[0];
                weights[next++] = isKept ? 1 : 0;
                left = isKept ? left[1..] : left;
            }
        }
    }
}

/// <summary>Hands on to one that can be exchanged: recorded decisions while results are compared, own ones while time is taken.</summary>
internal sealed class ExchangeableAugmenter : Augmenter
{
    public required Augmenter Inner { get; set; }

    public override void Draw() => Inner.Draw();

    public override void Keep(int view, int feature, KeptValues kept) => Inner.Keep(view, feature, kept);

    public override void Weigh(int view, int feature, float[] weights) => Inner.Weigh(view, feature, weights);
}
