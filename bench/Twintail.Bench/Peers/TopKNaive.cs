using TorchSharp;
using Twintail.Bench.Data;
using Twintail.Bench.Running;
using static TorchSharp.torch;

namespace Twintail.Bench.Peers;

/// <summary>All scores by one matrix product, excluded ones set to -∞, topk.</summary>
internal sealed class TopKNaive : Contender
{
    private readonly Tensor _queries;
    private readonly Tensor _items;
    private readonly Tensor _excludedUsers;
    private readonly Tensor _excludedItems;
    private readonly int _k;
    private Tensor? _scores;
    private Tensor? _ids;

    public TopKNaive(RetrievalData data, int k)
        : base("torchsharp-naive", Role.Naive)
    {
        _k = k;
        _queries = Torch.From(data.Queries, data.Users, data.D);
        _items = Torch.From(data.Catalogue, data.Items, data.D);
        _excludedUsers = tensor(ExcludedUsers(data)).DetachFromDisposeScope();
        _excludedItems = tensor(data.ExcludeItems, ScalarType.Int64).DetachFromDisposeScope();
    }

    public override void Run()
    {
        using var scope = NewDisposeScope();
        using var mode = no_grad();
        var scores = matmul(_queries, _items.t());
        scores.index_put_(float.NegativeInfinity, _excludedUsers, _excludedItems);
        var (best, ids) = scores.topk(_k);
        _scores?.Dispose();
        _ids?.Dispose();
        (_scores, _ids) = (best.DetachFromDisposeScope(), ids.to(ScalarType.Float32).DetachFromDisposeScope());
    }

    public override IEnumerable<Output> Outputs() => [Torch.View("scores", _scores!), Torch.View("ids", _ids!)];

    public override void Dispose()
    {
        foreach (Tensor? tensor in new[] { _queries, _items, _excludedUsers, _excludedItems, _scores, _ids })
        {
            tensor?.Dispose();
        }
    }

    /// <summary>[ExcludeOffsets[users]]: the user of each excluded item.</summary>
    private static long[] ExcludedUsers(RetrievalData data)
    {
        var users = new long[data.ExcludeItems.Length];
        for (int u = 0; u < data.Users; u++)
        {
            users.AsSpan((int)data.ExcludeOffsets[u]..(int)data.ExcludeOffsets[u + 1]).Fill(u);
        }

        return users;
    }
}
