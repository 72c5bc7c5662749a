using TorchSharp;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

/// <summary>Forward, backward and update of the gather, against index_select, sums and autograd of TorchSharp.</summary>
internal sealed class EmbeddingGatherTests : OpFixture
{
    private const Transforms All = Transforms.RandomMask | Transforms.ValueDropout | Transforms.Correlated;

    private static IEnumerable<TestCaseData> Cases()
    {
        foreach (int n in new[] { 1, 13, 130, 600 })
        {
            foreach (int[] dims in new int[][] { [1], [3, 8], [16, 5, 33], [64, 32, 16] })
            {
                foreach (bool lists in new[] { false, true })
                {
                    yield return new TestCaseData(n, dims, lists);
                }
            }
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void VectorsAndGradientsAreThoseOfTorch(int n, int[] dims, bool lists)
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 50, lists ? 37 : 0, dims);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] embeddings = problem.UploadWeights(Device);
        using var batch = new Batch(problem, Device, draw, n, lists);
        EmbeddingGather.Forward(Device, table, embeddings, batch.Views);
        float[][] vectors = batch.Read();
        batch.WriteGradients();
        SparseGradient[] gradients = EmbeddingGather.Backward(Device, table, embeddings, batch.Views);

        AugmentedValues[][] kept = batch.Kept(Device, table);
        (double[][] exactVectors, double[][] exactGradients) = Torch(problem, batch, kept, ScalarType.Float64);
        (double[][] Vectors, double[][] Gradients)[] torch = draw.Fill(
            Accuracy.Orders, () => Torch(problem, batch, kept, ScalarType.Float32, draw));
        for (int v = 0; v < vectors.Length; v++)
        {
            Accuracy.Check($"view {v}", vectors[v], exactVectors[v], torch.Select(t => t.Vectors[v]));
        }

        for (int e = 0; e < gradients.Length; e++)
        {
            CheckTouched(gradients[e], problem, kept, e);
            Accuracy.Check($"gradient {e}", Dense(gradients[e], problem, e), exactGradients[e], torch.Select(t => t.Gradients[e]));
        }

        Dispose([.. embeddings, .. gradients]);
    }

    [Test]
    public void GradientsAreCentralDifferences()
    {
        // The vectors are linear in the weights, so the difference quotient is exact.
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 50, 37, 16, 5);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] embeddings = problem.UploadWeights(Device);
        using var batch = new Batch(problem, Device, draw, 60, lists: true);
        batch.WriteGradients();
        SparseGradient[] gradients = EmbeddingGather.Backward(Device, table, embeddings, batch.Views);
        for (int e = 0; e < embeddings.Length; e++)
        {
            float[] direction = draw.Normals(problem.Weights[e].Length);
            double slope = 0;
            foreach (int sign in new[] { 1, -1 })
            {
                embeddings[e].Weights.CopyFrom(problem.Weights[e].Zip(direction, (w, v) => w + (sign * v)).ToArray());
                EmbeddingGather.Forward(Device, table, embeddings, batch.Views);
                slope += batch.Read().Zip(batch.Gradients, (y, g) => y.Zip(g, (a, b) => (double)a * b).Sum()).Sum() * sign / 2;
            }

            embeddings[e].Weights.CopyFrom(problem.Weights[e]);
            double expected = Dense(gradients[e], problem, e).Zip(direction, (g, v) => (double)g * v).Sum();
            double size = Math.Sqrt(gradients[e].Values.ToArray().Sum(g => (double)g * g));
            Assert.That(slope, Is.EqualTo(expected).Within(1e-4 * size), $"table {e}");
        }

        Dispose([.. embeddings, .. gradients]);
    }

    [Test]
    public void UpdateIsBackwardAndSparseUpdateBitForBit([Values] OptimizerKind kind, [Values] bool lists)
    {
        Draw draw = Draw.Fresh();
        var optimizer = new Optimizer(kind, .05f, 1e-8f, WeightDecay: .01f);
        var problem = new GatherProblem(draw, 60, lists ? 41 : 0, 16, 5, 33);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] fused = problem.UploadWeights(Device, optimizer);
        EmbeddingTable[] apart = problem.UploadWeights(Device, optimizer);
        using var batch = new Batch(problem, Device, draw, 300, lists);
        for (int step = 1; step <= 3; step++)
        {
            batch.WriteGradients();
            EmbeddingGather.Update(Device, optimizer, step, table, fused, batch.Views);
            SparseGradient[] gradients = EmbeddingGather.Backward(Device, table, apart, batch.Views);
            for (int e = 0; e < apart.Length; e++)
            {
                SparseUpdate.Apply(Device, optimizer, step, apart[e], gradients[e].Ids, gradients[e].Values, gradients[e].Count);
            }

            Dispose([.. gradients]);
        }

        for (int e = 0; e < fused.Length; e++)
        {
            Assert.That(Bits.Of(fused[e].Weights.ToArray()), Is.EqualTo(Bits.Of(apart[e].Weights.ToArray())), $"weights {e}");
            Assert.That(Bits.Of(fused[e].State1?.ToArray() ?? []), Is.EqualTo(Bits.Of(apart[e].State1?.ToArray() ?? [])));
            Assert.That(Bits.Of(fused[e].State2?.ToArray() ?? []), Is.EqualTo(Bits.Of(apart[e].State2?.ToArray() ?? [])));
            Assert.That(fused[e].Weights.ToArray(), Is.Not.EqualTo(problem.Weights[e]), "the weights moved");
        }

        Dispose([.. fused, .. apart]);
    }

    [Test]
    public void SameBitsForAnyThreadCount([Values] bool lists)
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 400, lists ? 300 : 0, 16, 24);
        int seed = draw.Int(0, int.MaxValue);
        int[] rows = problem.SomeRows(3000);
        ViewAugmentation augmentation = problem.Augmentation(All);
        float[] gradient = draw.Normals(3000L * problem.Width);
        SameForAnyThreadCount(device =>
        {
            using DeviceFeatureTable table = problem.Upload(device);
            EmbeddingTable[] embeddings = problem.UploadWeights(device, Optimizer.RowwiseAdagrad(.1f));
            using DeviceBuffer<int> deviceRows = device.Upload(rows);
            using DeviceBuffer<float> vectors = device.Allocate<float>(gradient.Length);
            var view = new GatherView(deviceRows, vectors) { Augmentation = augmentation, View = 1 };
            EmbeddingGather.Forward(device, table, embeddings, view);
            float[] gathered = vectors.ToArray();
            vectors.CopyFrom(gradient);
            EmbeddingGather.Update(device, Optimizer.RowwiseAdagrad(.1f), 1, table, embeddings, view);
            Array[] result = [gathered, .. embeddings.Select(e => e.Weights.ToArray())];
            Dispose([.. embeddings]);
            return result;
        });
    }

    [Test]
    public void CallsAllocateNothing()
    {
        Draw draw = Draw.Fresh();
        using Device device = Device.Cpu();
        var optimizer = Optimizer.RowwiseAdagrad(.1f);
        var problem = new GatherProblem(draw, 400, 0, 16, 24);
        using DeviceFeatureTable table = problem.Upload(device);
        EmbeddingTable[] embeddings = problem.UploadWeights(device, optimizer);
        using DeviceBuffer<int> rows = device.Upload(problem.SomeRows(500));
        using DeviceBuffer<float> vectors = device.Upload(draw.Normals(500L * problem.Width));
        var views = new[] { new GatherView(rows, vectors) { Augmentation = problem.Augmentation(All), View = 1 } };
        void Step(int step)
        {
            EmbeddingGather.Forward(device, table, embeddings, views);
            EmbeddingGather.Update(device, optimizer, step, table, embeddings, views);
        }

        Step(1);
        long workspace = device.Info.WorkspaceBytes;
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int step = 2; step < 20; step++)
        {
            Step(step);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
        Assert.That(device.Info.WorkspaceBytes, Is.EqualTo(workspace));
    }

    [Test]
    public void LeadingDimensionLeavesTheRestAlone()
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 20, 0, 3, 8);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] embeddings = problem.UploadWeights(Device);
        int ld = problem.Width + 5;
        using DeviceBuffer<int> rows = Device.Upload(problem.SomeRows(11));
        using DeviceBuffer<float> wide = Device.Upload(Enumerable.Repeat(7f, 11 * ld).ToArray());
        using DeviceBuffer<float> dense = Device.Allocate<float>(11 * problem.Width);
        EmbeddingGather.Forward(Device, table, embeddings, new GatherView(rows, wide) { LeadingDimension = ld }, new GatherView(rows, dense));
        float[] one = wide.ToArray();
        float[] other = dense.ToArray();
        for (int i = 0; i < 11; i++)
        {
            Assert.That(one.Skip(i * ld).Take(problem.Width), Is.EqualTo(other.Skip(i * problem.Width).Take(problem.Width)));
            Assert.That(one.Skip((i * ld) + problem.Width).Take(5), Is.All.EqualTo(7f));
        }

        Dispose([.. embeddings]);
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 20, 0, 3, 8);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] tables = problem.UploadWeights(Device);
        int width = problem.Width;
        using DeviceBuffer<int> rows = Device.Upload(new[] { 0, 1, 2, 19 });
        using DeviceBuffer<int> wrong = Device.Upload(new[] { 0, 1, 20, 2 });
        using DeviceBuffer<float> vectors = Device.Allocate<float>(4 * width);
        using DeviceBuffer<float> small = Device.Allocate<float>((4 * width) - 1);
        void Call(GatherView view, EmbeddingTable[]? use = null) => EmbeddingGather.Forward(Device, table, use ?? tables, view);
        void Augmented(Func<ViewAugmentation, ViewAugmentation> change, Transforms t = Transforms.RandomMask) =>
            Call(new GatherView(rows, vectors) { Augmentation = change(problem.Augmentation(t)) });

        Refused("views[0].rows[2]", () => Call(new GatherView(wrong, vectors)));
        Refused("vectors", () => Call(new GatherView(rows, small)));
        Refused("vectors", () => Call(new GatherView(rows, null)));
        Refused("rows", () => Call(new GatherView(rows, vectors, 5)));
        Refused("ld", () => Call(new GatherView(rows, vectors) { LeadingDimension = width - 1 }));
        Refused("views[0].view", () => Call(new GatherView(rows, vectors) { View = 3 }));
        Refused("views[0].row_base", () => Call(new GatherView(rows, vectors) { RowBase = -1 }));
        Refused("views[0].left_out", () => Call(new GatherView(rows, vectors) { LeftOut = rows }));
        Refused("features[1].embedding", () => Call(new GatherView(rows, vectors), [tables[0]]));
        Refused("view_count", () => EmbeddingGather.Forward(Device, table, tables));
        Refused("views[0].augmentation.mask_rate", () => Augmented(a => a with { MaskRate = 1.1f }));
        Refused("views[0].augmentation.value_rate", () => Augmented(a => a with { ValueRate = float.NaN }));
        Refused("views[0].augmentation.list_rate", () => Augmented(a => a with { ListRate = -1 }));
        Refused("views[0].augmentation.transforms", () => Augmented(a => a with { Transforms = (Transforms)64 }));
        Refused("views[0].augmentation.transforms", () => Augmented(a => a, Transforms.Complementary | Transforms.Correlated));
        Refused("views[0].augmentation.transforms", () => Augmented(a => a, Transforms.ListDropout));
        Refused("views[0].augmentation.maskable", () => Augmented(a => a with { Maskable = 1UL << 63 }));
        Refused("views[0].augmentation.second_view", () => Augmented(a => a with { SecondView = (SecondView)2 }));
        Refused("views[0].augmentation.seed_scope", () => Augmented(a => a with { SeedScope = (SeedScope)2 }));
        Refused("views[0].augmentation.step", () => Augmented(a => a with { Step = -1 }));
        Refused("views[0].augmentation.correlated", () => Augmented(a => a with { Correlated = null }, Transforms.Correlated));
        Refused("correlated", () => Augmented(a => a with { Correlated = [1] }, Transforms.Correlated));
        Refused("views[0].augmentation.correlated[2]", () => Augmented(a => a with { Correlated = [1, 0, 2, 0, 0] }, Transforms.Correlated));
        Refused("feature", () => EmbeddingGather.Preview(Device, table, new GatherView(rows, null), 5));
        using (var few = new EmbeddingTable(Device, 1, 3))
        {
            Refused("embeddings[0].rows", () => Call(new GatherView(rows, vectors), [few, tables[1]]));
        }

        Refused("embeddings[0].state1", () => EmbeddingGather.Update(
            Device, Optimizer.Adam(.1f), 1, table, tables, new GatherView(rows, vectors)));
        Dispose([.. tables]);
    }

    [Test]
    public unsafe void TooSmallACapacityIsRefused()
    {
        Draw draw = Draw.Fresh();
        var problem = new GatherProblem(draw, 20, 0, 3);
        using DeviceFeatureTable table = problem.Upload(Device);
        EmbeddingTable[] tables = problem.UploadWeights(Device);
        using DeviceBuffer<int> rows = Device.Upload(Enumerable.Range(0, 20).ToArray());
        using DeviceBuffer<float> vectors = Device.Allocate<float>(20 * problem.Width);
        using DeviceBuffer<int> ids = Device.Allocate<int>(1);
        using DeviceBuffer<float> values = Device.Allocate<float>(3);
        using DeviceBuffer<long> count = Device.Allocate<long>(1);
        tt_embedding embedding = tables[0].ToNative();
        var view = new tt_gather_view { rows = rows.Pointer, vectors = vectors.Pointer, n = 20, ld = problem.Width };
        var gradient = new tt_sparse_gradient { ids = ids.Pointer, values = values.Pointer, count = count.Pointer, capacity = 1 };
        tt_embedding* embeddingAt = &embedding;
        tt_gather_view* viewAt = &view;
        tt_sparse_gradient* gradientAt = &gradient;
        BadArgumentException error = Refused("gradients[0].capacity", () => EmbeddingGather.Backward(
            Device, table, embeddingAt, 1, viewAt, 1, gradientAt));
        Assert.That(error.Got, Is.EqualTo("1"));
        Dispose([.. tables]);
    }

    [Test]
    public void BadTablesAreNamed()
    {
        var single = new FeatureColumn("a", ["", "x"], [0, 1, 1]);
        var wide = new FeatureColumn("b", ["", "x"], [1], [0, 0, 1]);
        Refused("features[0]", () => Make(4, [new FeatureBinding(single, 0)]));
        Refused("features[1]", () => Make(3, [new FeatureBinding(single, 0), new FeatureBinding(wide, 0)]));
        Refused("feature_count", () => Make(3, []));
        Refused("feature_count", () => Make(3, [.. Enumerable.Repeat(new FeatureBinding(single, 0), 65)]));
        Refused("features[0].embedding", () => Make(3, [new FeatureBinding(single, -1)]));
        Refused("features[0].pooling", () => Make(3, [new FeatureBinding(single, 0, (Pooling)3)]));
        Refused("lists", () => Make(3, [new FeatureBinding(single, 0, throughList: true)]));
        Refused("lists.Offsets", () => Make(3, [new FeatureBinding(single, 0)], new RowLists([0, 1], [0], 3)));
        Refused("list_rows[1]", () => Make(3, [new FeatureBinding(single, 0)], new RowLists([0, 1, 1, 2], [0, 3], 3)));
        Refused("list_offsets[2]", () => Make(3, [new FeatureBinding(single, 0)], new RowLists([0, 2, 1, 2], [0, 2], 3)));

        // The constructors of FeatureColumn check the rest, so spoil an array behind their back.
        var spoilt = new FeatureColumn("c", ["", "x"], [0, 1, 1]);
        spoilt.Values[2] = 2;
        Refused("features[0].values[2]", () => Make(3, [new FeatureBinding(spoilt, 0)]));

        void Make(long rows, FeatureBinding[] features, RowLists? lists = null) =>
            new DeviceFeatureTable(Device, rows, features, lists).Dispose();
    }

    private static void Dispose(IDisposable[] all)
    {
        foreach (IDisposable one in all)
        {
            one.Dispose();
        }
    }

    private static float[] Dense(SparseGradient gradient, GatherProblem problem, int e)
    {
        int dim = problem.Dims[e];
        var dense = new float[problem.Vocabularies[e] * dim];
        int[] ids = gradient.Ids.ToArray();
        float[] values = gradient.Values.ToArray();
        for (int i = 0; i < gradient.Count; i++)
        {
            Array.Copy(values, i * dim, dense, ids[i] * dim, dim);
        }

        return dense;
    }

    /// <summary>The ids of a gradient are exactly the values kept, ascending.</summary>
    private static void CheckTouched(SparseGradient gradient, GatherProblem problem, AugmentedValues[][] kept, int e)
    {
        var touched = new SortedSet<int>();
        foreach (AugmentedValues[] view in kept)
        {
            for (int f = 0; f < view.Length; f++)
            {
                touched.UnionWith(problem.Bindings[f].Embedding == e ? view[f].Values : []);
            }
        }

        Assert.That(gradient.Ids.ToArray().Take((int)gradient.Count), Is.EqualTo(touched));
    }

    private static (double[][] Vectors, double[][] Gradients) Torch(
        GatherProblem problem, Batch batch, AugmentedValues[][] kept, ScalarType type, Draw? order = null)
    {
        using IDisposable scope = Ops.Torch.Scope();
        Tensor[] embeddings = [.. problem.Weights.Select((w, e) => Ops.Torch.Leaf(w, type, problem.Vocabularies[e], problem.Dims[e]))];
        Tensor[] vectors = problem.Vectors(embeddings, kept, order);
        Tensor total = zeros(1, dtype: type);
        for (int v = 0; v < vectors.Length; v++)
        {
            total = total + (vectors[v] * Ops.Torch.Of(batch.Gradients[v], type, vectors[v].shape)).sum();
        }

        total.backward();
        return ([.. vectors.Select(Ops.Torch.Values)], [.. embeddings.Select(Ops.Torch.Gradient)]);
    }

    /// <summary>Rows as they are, and two augmented views of other rows: what a training step reads.</summary>
    private sealed class Batch : IDisposable
    {
        private readonly List<IDisposable> _owned = [];

        public Batch(GatherProblem problem, Device device, Draw draw, int n, bool lists)
        {
            int[] clicked = problem.SomeRows(n);
            int[] sampled = problem.SomeRows((n / 2) + 1);
            Transforms transforms = All | (lists ? Transforms.ListDropout : 0);
            ViewAugmentation augmentation = problem.Augmentation(transforms);
            DeviceBuffer<int> clickedRows = Own(device.Upload(clicked));
            DeviceBuffer<int> sampledRows = Own(device.Upload(sampled));
            DeviceBuffer<int>? leftOut = lists ? Own(device.Upload(problem.SomeLeftOut(clicked))) : null;
            Views =
            [
                View(clickedRows, 0, null, leftOut), View(sampledRows, 1, augmentation, null), View(sampledRows, 2, augmentation, null),
            ];
            Gradients = [.. Views.Select(view => draw.Normals(view.N * problem.Width))];

            GatherView View(DeviceBuffer<int> rows, int view, ViewAugmentation? a, DeviceBuffer<int>? leave) =>
                new(rows, Own(device.Allocate<float>(rows.Length * problem.Width)))
                {
                    Augmentation = a,
                    LeftOut = leave,
                    View = view,
                    RowBase = a == null ? 0 : n,
                };
        }

        public GatherView[] Views { get; }

        public float[][] Gradients { get; }

        public float[][] Read() => [.. Views.Select(view => view.Vectors!.ToArray())];

        public void WriteGradients()
        {
            for (int v = 0; v < Views.Length; v++)
            {
                Views[v].Vectors!.CopyFrom(Gradients[v]);
            }
        }

        public AugmentedValues[][] Kept(Device device, DeviceFeatureTable table) =>
        [
            .. Views.Select(view => Enumerable.Range(0, table.Features.Count)
                .Select(f => EmbeddingGather.Preview(device, table, view, f)).ToArray()),
        ];

        public void Dispose() => EmbeddingGatherTests.Dispose([.. _owned]);

        private T Own<T>(T disposable)
            where T : IDisposable
        {
            _owned.Add(disposable);
            return disposable;
        }
    }
}
