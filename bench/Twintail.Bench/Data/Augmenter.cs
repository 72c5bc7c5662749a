namespace Twintail.Bench.Data;

/// <summary>Decides what the two views of a batch keep. Bags are the batch's rows, in order.</summary>
internal abstract class Augmenter
{
    /// <summary>Draws anew for the next step.</summary>
    public abstract void Draw();

    /// <summary>What view 1 or 2 keeps of a feature. Different features may be asked for from several threads.</summary>
    public abstract void Keep(int view, int feature, KeptValues kept);

    /// <summary>
    /// The same as weights: for every bag first that of the default (1 where nothing else is kept), then one of each of its
    /// values, 0 or 1.
    /// </summary>
    public abstract void Weigh(int view, int feature, float[] weights);
}

/// <summary>What is masked and dropped: the rates of twintail.h's random mask and value dropout.</summary>
internal sealed record AugmentationRates(float MaskRate, float ValueRate);

/// <summary>
/// Masks drawn on the host with a fast generator, as a TorchSharp user would: one bit for each feature of a row and view, and
/// one decision for each value that is left.
/// </summary>
internal sealed class HostAugmenter : Augmenter
{
    private readonly BagData _data;
    private readonly ulong _maskBelow;
    private readonly uint _dropBelow;
    private readonly ulong[][] _masked;
    private readonly int[] _capacities;
    private SplitMix _random = new(99);
    private ulong _seed;

    public HostAugmenter(BagData data, AugmentationRates rates)
    {
        _data = data;
        _maskBelow = (ulong)(rates.MaskRate * 65536);
        _dropBelow = (uint)(rates.ValueRate * 65536);
        _masked = [new ulong[data.Batch.Length], new ulong[data.Batch.Length]];
        _capacities = [.. data.Features.Select(data.EntriesWithDefaults)];
    }

    public override void Draw()
    {
        _seed = _random.Next();
        foreach (ulong[] masked in _masked)
        {
            for (int bag = 0; bag < masked.Length; bag++)
            {
                ulong mask = 0;
                ulong bits = 0;
                for (int f = 0; f < _data.Features.Length; f++)
                {
                    bits = f % 4 == 0 ? _random.Next() : bits >> 16;
                    mask |= ((bits & 0xFFFF) < _maskBelow ? 1UL : 0) << f;
                }

                masked[bag] = mask;
            }
        }
    }

    public override void Keep(int view, int feature, KeptValues kept)
    {
        BagFeature source = _data.Features[feature];
        ulong[] masked = _masked[view - 1];
        var drops = new Drops(_seed + (ulong)((2 * feature) + view), _dropBelow);
        kept.Clear(_capacities[feature]);
        for (int bag = 0; bag < masked.Length; bag++)
        {
            if ((masked[bag] >> feature & 1) == 0)
            {
                int row = _data.Batch[bag];
                for (long i = source.Offsets[row]; i < source.Offsets[row + 1]; i++)
                {
                    if (!drops.Next())
                    {
                        kept.Add(source.Values[i]);
                    }
                }
            }

            kept.EndBag(bag);
        }
    }

    public override void Weigh(int view, int feature, float[] weights)
    {
        BagFeature source = _data.Features[feature];
        ulong[] masked = _masked[view - 1];
        var drops = new Drops(_seed + (ulong)((2 * feature) + view), _dropBelow);
        int next = 0;
        for (int bag = 0; bag < masked.Length; bag++)
        {
            int row = _data.Batch[bag];
            int count = (int)(source.Offsets[row + 1] - source.Offsets[row]);
            bool isMasked = (masked[bag] >> feature & 1) != 0;
            int first = next;
            weights[next++] = 1;
            for (int i = 0; i < count; i++)
            {
                float weight = isMasked || drops.Next() ? 0 : 1;
                weights[next++] = weight;
                weights[first] = weight > 0 ? 0 : weights[first];
            }
        }
    }

    /// <summary>One decision for each value, four from each draw.</summary>
    private struct Drops(ulong seed, uint dropBelow)
    {
        private SplitMix _random = new(seed);
        private ulong _bits;
        private int _left;

        public bool Next()
        {
            if (_left == 0)
            {
                _bits = _random.Next();
                _left = 4;
            }

            bool drop = (_bits & 0xFFFF) < dropBelow;
            _bits >>= 16;
            _left--;
            return drop;
        }
    }
}
