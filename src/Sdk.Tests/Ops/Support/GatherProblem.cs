using TorchSharp;
using Twintail.Features;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

/// <summary>A table with lists, embedding tables and rows to gather, on the host.</summary>
internal sealed class GatherProblem
{
    private readonly Draw _draw;

    /// <param name="draw">Random numbers.</param>
    /// <param name="rows">Rows of the table.</param>
    /// <param name="catalogueRows">Rows that the lists point into; 0: a table without lists.</param>
    /// <param name="dims">Dimensions of the embedding tables; one per table, cycled through by the features.</param>
    public GatherProblem(Draw draw, int rows, int catalogueRows, params int[] dims)
    {
        _draw = draw;
        Rows = rows;
        Dims = dims;
        Vocabularies = draw.Ints(dims.Length, 3, 40);
        Bindings = MakeBindings(catalogueRows);
        Lists = catalogueRows > 0 ? MakeLists(catalogueRows) : null;
        Weights = [.. dims.Select((dim, e) => draw.Normals(Vocabularies[e] * dim))];
    }

    public int Rows { get; }

    public int[] Dims { get; }

    public int[] Vocabularies { get; }

    public FeatureBinding[] Bindings { get; }

    public RowLists? Lists { get; }

    public float[][] Weights { get; }

    public int Width => Bindings.Sum(binding => Dims[binding.Embedding]);

    public ulong AllFeatures => (1UL << Bindings.Length) - 1;

    /// <summary>An augmentation of all transformations that go together here.</summary>
    public ViewAugmentation Augmentation(Transforms transforms, SecondView second = SecondView.Complement, SeedScope scope = SeedScope.PerRow)
    {
        ulong maskable = AllFeatures & ~2UL; // feature 1 is never touched
        return new ViewAugmentation(transforms, maskable, _draw.Bits(), (uint)_draw.Bits(), (long)(_draw.Bits() & 0xFFFF_FFFF_FFFF))
        {
            MaskRate = .3f,
            ValueRate = .4f,
            ListRate = .25f,
            SecondView = second,
            SeedScope = scope,
            Correlated = Enumerable.Range(0, Bindings.Length)
                .Select(f => f == 1 ? 0UL : (1UL << f | _draw.Bits()) & maskable).ToArray(),
        };
    }

    public int[] SomeRows(int n) => _draw.Ints(n, 0, Rows);

    public int[] SomeLeftOut(int[] rows) => Array.ConvertAll(rows, row =>
    {
        // Half the time a member of the row's own list.
        long begin = Lists!.Offsets[row], end = Lists.Offsets[row + 1];
        return _draw.Chance(.25) ? -1
            : begin < end && _draw.Chance(.5) ? Lists.Rows[_draw.Int((int)begin, (int)end)]
            : _draw.Int(0, (int)Lists.CatalogueRows);
    });

    public DeviceFeatureTable Upload(Device device) => new(device, Rows, Bindings, Lists);

    public EmbeddingTable[] UploadWeights(Device device, Optimizer? optimizer = null) =>
    [
        .. Weights.Select((weights, e) =>
        {
            var table = new EmbeddingTable(device, Vocabularies[e], Dims[e], optimizer);
            table.Weights.CopyFrom(weights);
            return table;
        }),
    ];

    /// <summary>
    /// The gathered vectors of all views from the values kept, as a function of the embedding tables. As with TorchSharp's
    /// EmbeddingBag, the lookups of a table are one index_select, so that its gradient is one sum over all of them; in a random
    /// order if <paramref name="order"/> is given.
    /// </summary>
    /// <param name="embeddings">[vocabulary, dim] each.</param>
    /// <param name="kept">By view and feature.</param>
    /// <param name="order">Source of random orders, or null.</param>
    public Tensor[] Vectors(Tensor[] embeddings, AugmentedValues[][] kept, Draw? order = null)
    {
        var columns = new Tensor[kept.Length, Bindings.Length];
        for (int e = 0; e < embeddings.Length; e++)
        {
            int[] features = [.. Enumerable.Range(0, Bindings.Length).Where(f => Bindings[f].Embedding == e)];
            (int View, int Feature)[] parts = [.. Enumerable.Range(0, kept.Length).SelectMany(v => features.Select(f => (v, f)))];
            Tensor bags = Bags(embeddings[e], [.. parts.Select(part => kept[part.View][part.Feature])], order);
            int begin = 0;
            foreach ((int view, int feature) in parts)
            {
                int n = kept[view][feature].Offsets.Length - 1;
                columns[view, feature] = Pooled(bags.slice(0, begin, begin + n, 1), kept[view][feature].Offsets, Bindings[feature].Pooling);
                begin += n;
            }
        }

        return [.. Enumerable.Range(0, kept.Length).Select(v => cat([.. Enumerable.Range(0, Bindings.Length).Select(f => columns[v, f])], 1))];
    }

    private static Tensor Bags(Tensor embedding, AugmentedValues[] parts, Draw? order)
    {
        var values = new List<int>();
        var bags = new List<int>();
        int bag = 0;
        foreach (AugmentedValues part in parts)
        {
            values.AddRange(part.Values);
            for (int i = 0; i + 1 < part.Offsets.Length; i++, bag++)
            {
                bags.AddRange(Enumerable.Repeat(bag, (int)(part.Offsets[i + 1] - part.Offsets[i])));
            }
        }

        int[] places = order?.Permutation(values.Count) ?? [.. Enumerable.Range(0, values.Count)];
        Tensor rows = embedding.index_select(0, Torch.Index([.. places.Select(p => values[p])]));
        return zeros([bag, embedding.shape[1]], dtype: embedding.dtype).index_add(0, Torch.Index([.. places.Select(p => bags[p])]), rows, 1);
    }

    private static Tensor Pooled(Tensor sums, long[] offsets, Pooling pooling)
    {
        float[] sizes = [.. offsets.Skip(1).Zip(offsets, (end, begin) => (float)(end - begin))];
        Tensor counts = Torch.Of(sizes, sums.dtype, sizes.Length, 1);
        return pooling switch
        {
            Pooling.Sum => sums,
            Pooling.Mean => sums / counts,
            _ => sums / counts.sqrt(),
        };
    }

    private FeatureBinding[] MakeBindings(int catalogueRows)
    {
        // Single, multi, multi with a shared table, single; then the same through the list.
        var bindings = new List<FeatureBinding>();
        for (int f = 0; f < (catalogueRows > 0 ? 7 : 5); f++)
        {
            bool throughList = f >= 4 && catalogueRows > 0;
            int embedding = f % Dims.Length;
            FeatureColumn column = MakeColumn($"f{f}", throughList ? catalogueRows : Rows, Vocabularies[embedding], multi: f is 1 or 2 or 5 or 4);
            bindings.Add(new FeatureBinding(column, embedding, (Pooling)_draw.Int(0, 3), throughList));
        }

        return [.. bindings];
    }

    private FeatureColumn MakeColumn(string name, int rows, int vocabulary, bool multi)
    {
        string[] texts = [.. Enumerable.Range(0, vocabulary).Select(v => v == 0 ? "" : $"v{v}")];
        if (!multi)
        {
            return new FeatureColumn(name, texts, _draw.Ints(rows, 0, vocabulary));
        }

        long[] offsets = Offsets(rows, 9);
        return new FeatureColumn(name, texts, _draw.Ints(offsets[rows], 0, vocabulary), offsets);
    }

    private RowLists MakeLists(int catalogueRows)
    {
        long[] offsets = Offsets(Rows, 14);
        return new RowLists(offsets, _draw.Ints(offsets[Rows], 0, catalogueRows), catalogueRows);
    }

    private long[] Offsets(int rows, int most)
    {
        var offsets = new long[rows + 1];
        for (int row = 0; row < rows; row++)
        {
            offsets[row + 1] = offsets[row] + (_draw.Chance(.2) ? 0 : _draw.Int(1, most));
        }

        return offsets;
    }
}
