using Twintail.Features;
using Twintail.Ops;
using Twintail.Sampling;

namespace Twintail.Training;

/// <summary>
/// The training clicks, kept on the device, and the order in which steps consume them: every epoch another permutation, a function of
/// seed and epoch, cut into batches whose sizes differ by at most one, so that each click is seen once an epoch.
/// </summary>
internal sealed unsafe class ClickStream : IDisposable
{
    private readonly Device _device;
    private readonly ulong _seed;
    private readonly DeviceBuffer<int> _users;
    private readonly DeviceBuffer<int> _items;

    public ClickStream(Device device, Interactions clicks, int batchSize, long seed)
    {
        _device = device;
        _seed = (ulong)seed;
        Count = clicks.Count;
        StepsPerEpoch = (int)(((long)Count + batchSize - 1) / batchSize);
        MaxBatch = (int)(((long)Count + StepsPerEpoch - 1) / StepsPerEpoch);
        _users = device.Upload(clicks.Users);
        try
        {
            _items = device.Upload(clicks.Items);
        }
        catch
        {
            _users.Dispose();
            throw;
        }
    }

    /// <summary>Clicks of one epoch.</summary>
    public int Count { get; }

    public int StepsPerEpoch { get; }

    /// <summary>Size of the largest batch.</summary>
    public int MaxBatch { get; }

    /// <summary>Clicks of a step, counted from 0 over all epochs.</summary>
    public int BatchSize(long step) => (int)(Boundary((step % StepsPerEpoch) + 1) - Boundary(step % StepsPerEpoch));

    /// <summary>Writes the rows of a step's clicks, n = <see cref="BatchSize"/>, to users [n] and items [n] on the device.</summary>
    public void Draw(long step, int* users, int* items) => DeviceRandom.SampleClicks(
        _device,
        _seed,
        (uint)Purpose.ClickOrder,
        step / StepsPerEpoch,
        _users.Pointer,
        _items.Pointer,
        Count,
        Boundary(step % StepsPerEpoch),
        BatchSize(step),
        users,
        items);

    public void Dispose()
    {
        _users.Dispose();
        _items.Dispose();
    }

    /// <summary>Place, in the order of an epoch, of the first click of its batch; of the clicks' end for the number of batches.</summary>
    private long Boundary(long batch) => batch * Count / StepsPerEpoch;
}
