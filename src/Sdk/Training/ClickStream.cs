using Twintail.Features;
using Twintail.Sampling;

namespace Twintail.Training;

/// <summary>
/// The training clicks in the order in which steps consume them: every epoch a new permutation, drawn from seed and epoch, cut into
/// batches whose sizes differ by at most one, so that each click is seen once an epoch.
/// </summary>
internal sealed unsafe class ClickStream : IDisposable
{
    private readonly Interactions _clicks;
    private readonly Philox _random;
    private readonly DeviceBuffer<int> _users;
    private readonly DeviceBuffer<int> _items;
    private int _epoch = -1;

    public ClickStream(Device device, Interactions clicks, int batchSize, long seed)
    {
        _clicks = clicks;
        _random = new Philox(seed, Purpose.ClickOrder);
        StepsPerEpoch = (int)(((long)clicks.Count + batchSize - 1) / batchSize);
        MaxBatch = (int)(((long)clicks.Count + StepsPerEpoch - 1) / StepsPerEpoch);
        _users = device.Allocate<int>(clicks.Count);
        _items = device.Allocate<int>(clicks.Count);
    }

    /// <summary>Clicks of one epoch.</summary>
    public int Count => _clicks.Count;

    public int StepsPerEpoch { get; }

    /// <summary>Size of the largest batch.</summary>
    public int MaxBatch { get; }

    /// <summary>The clicks of a step, counted from 0 over all epochs.</summary>
    public ClickBatch Batch(long step)
    {
        Prepare((int)(step / StepsPerEpoch));
        long at = step % StepsPerEpoch;
        long start = at * _clicks.Count / StepsPerEpoch;
        long end = (at + 1) * _clicks.Count / StepsPerEpoch;
        return new ClickBatch(_users.Pointer + start, _items.Pointer + start, (int)(end - start));
    }

    public void Dispose()
    {
        _users.Dispose();
        _items.Dispose();
    }

    private void Prepare(int epoch)
    {
        if (epoch == _epoch)
        {
            return;
        }

        int[] order = _random.Permutation(_clicks.Count, epoch);
        _users.CopyFrom(Array.ConvertAll(order, click => _clicks.Users[click]));
        _items.CopyFrom(Array.ConvertAll(order, click => _clicks.Items[click]));
        _epoch = epoch;
    }
}

/// <summary>Rows of the n clicks of one step, on the device.</summary>
internal readonly unsafe struct ClickBatch
{
    public ClickBatch(int* users, int* items, int count)
    {
        Users = users;
        Items = items;
        Count = count;
    }

    public int* Users { get; }

    public int* Items { get; }

    public int Count { get; }
}
