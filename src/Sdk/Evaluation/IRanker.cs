using Twintail.Model;
using Twintail.Ops;
using Twintail.Retrieval;
using Twintail.Sampling;

namespace Twintail.Evaluation;

/// <summary>Gives vectors of items and users, whose similarity is the ranking. Every evaluated method takes this form.</summary>
internal interface IRanker
{
    Device Device { get; }

    int Dimension { get; }

    Similarity Similarity { get; }

    /// <summary>[rows.Length, d].</summary>
    void Items(int[] rows, DeviceBuffer<float> vectors);

    /// <summary>[rows.Length, d].</summary>
    void Users(int[] rows, DeviceBuffer<float> vectors);
}

/// <summary>A two-tower model.</summary>
internal sealed class ModelRanker : IRanker
{
    private readonly TwoTowerModel _model;

    public ModelRanker(TwoTowerModel model) => _model = model;

    public Device Device => _model.Device;

    public int Dimension => _model.Dimension;

    public Similarity Similarity => Similarity.Cosine;

    public void Items(int[] rows, DeviceBuffer<float> vectors) => _model.EncodeItems(rows, vectors);

    public void Users(int[] rows, DeviceBuffer<float> vectors) => _model.EncodeUsers(_model.Network.Users, rows, vectors);
}

/// <summary>The cosines of another ranker, with something added for each item, as <see cref="ColdBonus"/> and <see cref="PopularityPenalty"/> do.</summary>
internal sealed class BonusRanker : IRanker
{
    private readonly IRanker _ranker;
    private readonly float[] _bonuses;

    /// <summary>Adds bonuses[row] to the cosines of item row.</summary>
    public BonusRanker(IRanker ranker, float[] bonuses)
    {
        _ranker = ranker;
        _bonuses = bonuses;
    }

    public Device Device => _ranker.Device;

    public int Dimension => _ranker.Dimension + 1;

    public Similarity Similarity => Similarity.Dot;

    public void Items(int[] rows, DeviceBuffer<float> vectors)
    {
        using DeviceBuffer<float> cosines = Device.Allocate<float>((long)rows.Length * _ranker.Dimension);
        _ranker.Items(rows, cosines);
        vectors.CopyFrom(ColdBonus.Items(cosines.ToArray(), Array.ConvertAll(rows, row => _bonuses[row])));
    }

    public void Users(int[] rows, DeviceBuffer<float> vectors)
    {
        using DeviceBuffer<float> cosines = Device.Allocate<float>((long)rows.Length * _ranker.Dimension);
        _ranker.Users(rows, cosines);
        vectors.CopyFrom(ColdBonus.Users(cosines.ToArray(), rows.Length));
    }
}

/// <summary>The ranking by training clicks: an item's vector is its number of clicks, a user's is 1.</summary>
internal sealed class PopularityRanker : IRanker
{
    private readonly int[] _clicks;

    public PopularityRanker(Device device, int[] clicks)
    {
        Device = device;
        _clicks = clicks;
    }

    public Device Device { get; }

    public int Dimension => 1;

    public Similarity Similarity => Similarity.Dot;

    public void Items(int[] rows, DeviceBuffer<float> vectors) => vectors.CopyFrom(Array.ConvertAll(rows, row => (float)_clicks[row]));

    public void Users(int[] rows, DeviceBuffer<float> vectors) => vectors.CopyFrom(Array.ConvertAll(rows, _ => 1f));
}

/// <summary>Random vectors, whose cosines rank the items differently for every user: what chance gives.</summary>
internal sealed class RandomRanker : IRanker
{
    private const int BlockRows = 1 << 16;
    private readonly Philox _random;

    public RandomRanker(Device device, long seed)
    {
        Device = device;
        _random = new Philox(seed, Purpose.Chance);
    }

    public Device Device { get; }

    public int Dimension => 32;

    public Similarity Similarity => Similarity.Cosine;

    public void Items(int[] rows, DeviceBuffer<float> vectors) => Draw(rows, 0, vectors);

    public void Users(int[] rows, DeviceBuffer<float> vectors) => Draw(rows, 1, vectors);

    // Block by block: all of them may be more than an array holds.
    private void Draw(int[] rows, long step, DeviceBuffer<float> vectors)
    {
        var values = new float[Math.Min(rows.Length, BlockRows) * Dimension];
        for (int start = 0; start < rows.Length; start += BlockRows)
        {
            int count = Math.Min(BlockRows, rows.Length - start) * Dimension;
            for (int i = 0; i < count; i++)
            {
                values[i] = (_random.Below(1 << 24, (uint)(i % Dimension), (uint)rows[start + (i / Dimension)], step) / (float)(1 << 23)) - 1;
            }

            vectors.CopyFrom(values.AsSpan(0, count), (long)start * Dimension);
        }
    }
}
