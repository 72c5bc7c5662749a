using TorchSharp;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>
/// A few users at a time, so that their scores stay in cache and in one buffer, and topk in two rounds: the k best scores lie in
/// the k groups of items with the largest maxima, so the slow selection sees only one number for each group, then the
/// members of k groups. Group g is the items g, g + G, g + 2G, ..., so that maxima are taken along memory.
/// </summary>
internal sealed class TopKBlocked : Contender
{
    private readonly RetrievalData _data;
    private readonly int _k;
    private readonly int _blockUsers;
    private readonly int _group;
    private readonly int _groups;
    private readonly Tensor _queries;
    private readonly Tensor _items;
    private Tensor? _block;
    private Tensor? _scores;
    private Tensor? _ids;

    public TopKBlocked(RetrievalData data, int k, int blockUsers = 64, int group = 16)
        : base("torchsharp-best", Role.Best)
    {
        _data = data;
        _k = k;
        _blockUsers = blockUsers;
        _group = group;
        _groups = data.Items / group;
        if (_groups * group != data.Items || _groups < k)
        {
            throw new ArgumentException($"expected a multiple of {group} items, at least {k * group}, got {data.Items}", nameof(data));
        }

        _queries = Torch.From(data.Queries, data.Users, data.D);
        _items = Torch.From(data.Catalogue, data.Items, data.D);
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        _block ??= empty(_blockUsers, _data.Items).DetachFromDisposeScope();
        _scores ??= empty(_data.Users, _k).DetachFromDisposeScope();
        _ids ??= empty(_data.Users, _k).DetachFromDisposeScope();
        var transposed = _items.t();
        var members = arange(_group, ScalarType.Int64).mul_(_groups).view(1, 1, _group);
        for (int begin = 0; begin < _data.Users; begin += _blockUsers)
        {
            using var inner = NewDisposeScope();
            int users = Math.Min(_blockUsers, _data.Users - begin);
            var block = _block.narrow(0, 0, users);
            block.addmm_(_queries.narrow(0, begin, users), transposed, 0, 1);
            Exclude(block, begin, users);
            var (_, groups) = block.view(users, _group, _groups).amax([1]).topk(_k, sorted: false);
            var candidates = (groups.unsqueeze(2) + members).view(users, _k * _group);
            var (best, positions) = block.gather(1, candidates).topk(_k);
            _scores.narrow(0, begin, users).copy_(best);
            _ids.narrow(0, begin, users).copy_(candidates.gather(1, positions));
        }
    }

    public override IEnumerable<Output> Outputs() => [Torch.View("scores", _scores!), Torch.View("ids", _ids!)];

    public override void Dispose()
    {
        foreach (Tensor? tensor in new[] { _queries, _items, _block, _scores, _ids })
        {
            tensor?.Dispose();
        }
    }

    private void Exclude(Tensor block, int begin, int users)
    {
        long first = _data.ExcludeOffsets[begin];
        var rows = new long[_data.ExcludeOffsets[begin + users] - first];
        var columns = new long[rows.Length];
        for (int u = 0; u < users; u++)
        {
            for (long i = _data.ExcludeOffsets[begin + u]; i < _data.ExcludeOffsets[begin + u + 1]; i++)
            {
                rows[i - first] = u;
                columns[i - first] = _data.ExcludeItems[i];
            }
        }

        block.index_put_(float.NegativeInfinity, tensor(rows), tensor(columns));
    }
}
