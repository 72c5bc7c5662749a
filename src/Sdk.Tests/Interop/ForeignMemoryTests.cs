using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;
using Twintail.Tests.Cli;
using Twintail.Tests.Ops;

namespace Twintail.Tests.Interop;

/// <summary>
/// Ops on memory and a stream that are not the device's own, through the raw calls as a user of ManagedCuda, ILGPU or TorchSharp would make
/// them (docs/interop.md), against the same ops on buffers of a device with a stream of its own.
/// </summary>
internal sealed unsafe class ForeignMemoryTests
{
    // cudaStreamLegacy: the one stream besides a device's own that C# gets hold of without a CUDA library.
    private static readonly IntPtr Adopted = 1;

    [Test]
    public void OpsOnCudaTakeForeignMemoryOnAnAdoptedStream()
    {
        if (!CudaProcess.IsHere())
        {
            return;
        }

        Draw draw = Draw.Fresh();
        using Device usual = Device.Cuda(), adopting = Device.Cuda(stream: Adopted);
        using var foreign = new ForeignMemory();
        foreach (Action<Draw, Device, Device, ForeignMemory> op in new[] { Gather, Softmax, Best })
        {
            op(draw, usual, adopting, foreign);
        }

        Assert.That(adopting.Info.LiveBytes, Is.Zero, "nothing is left of what the ops took");
    }

    private static void Gather(Draw draw, Device usual, Device adopting, ForeignMemory foreign)
    {
        const int n = 37;
        var problem = new GatherProblem(draw, 50, 0, 5, 8);
        int[] rows = problem.SomeRows(n);
        EmbeddingTable[] tables = problem.UploadWeights(usual);
        try
        {
            using DeviceFeatureTable features = problem.Upload(usual);
            using DeviceBuffer<int> deviceRows = usual.Upload(rows);
            using DeviceBuffer<float> expected = usual.Allocate<float>(n * problem.Width);
            EmbeddingGather.Forward(usual, features, tables, new GatherView(deviceRows, expected));

            using DeviceFeatureTable sameFeatures = problem.Upload(adopting);
            tt_embedding* embeddings = stackalloc tt_embedding[tables.Length];
            for (int e = 0; e < tables.Length; e++)
            {
                embeddings[e] = new tt_embedding
                {
                    weights = foreign.Put(problem.Weights[e]),
                    rows = problem.Vocabularies[e],
                    dim = problem.Dims[e],
                };
            }

            float* vectors = foreign.Take<float>(n * problem.Width);
            var view = new tt_gather_view { rows = foreign.Put(rows), vectors = vectors, n = n, ld = problem.Width };
            EmbeddingGather.Forward(adopting, sameFeatures, embeddings, tables.Length, &view, 1);
            foreign.AssertSame(adopting, vectors, expected, "vectors");
        }
        finally
        {
            Array.ForEach(tables, table => table.Dispose());
        }
    }

    private static void Softmax(Draw draw, Device usual, Device adopting, ForeignMemory foreign)
    {
        const int n = 21, m = 33, d = 12;
        float[] queries = draw.Normals(n * d), candidates = draw.Normals(m * d), logQ = draw.LogProbabilities(m);
        using DeviceBuffer<float> deviceQueries = usual.Upload(queries), deviceCandidates = usual.Upload(candidates), deviceLogQ = usual.Upload(logQ);
        using DeviceBuffer<float> loss = usual.Allocate<float>(n), gradQueries = usual.Allocate<float>(n * d);
        using DeviceBuffer<float> gradCandidates = usual.Allocate<float>(m * d);
        SampledSoftmax.Compute(usual, new SampledSoftmaxArguments(n, m, d, deviceQueries, deviceCandidates, 10)
        {
            LogQ = deviceLogQ,
            Loss = loss,
            GradQueries = gradQueries,
            GradCandidates = gradCandidates,
        });

        var args = new tt_sampled_softmax_args
        {
            n = n,
            m = m,
            d = d,
            inverse_temperature = 10,
            scale = 1,
            queries = foreign.Put(queries),
            candidates = foreign.Put(candidates),
            log_q = foreign.Put(logQ),
            loss = foreign.Take<float>(n),
            grad_queries = foreign.Take<float>(n * d),
            grad_candidates = foreign.Take<float>(m * d),
        };
        SampledSoftmax.Invoke(adopting, args);
        foreign.AssertSame(adopting, args.loss, loss, "loss");
        foreign.AssertSame(adopting, args.grad_queries, gradQueries, "gradient of the queries");
        foreign.AssertSame(adopting, args.grad_candidates, gradCandidates, "gradient of the candidates");
    }

    private static void Best(Draw draw, Device usual, Device adopting, ForeignMemory foreign)
    {
        const int n = 9, m = 70, d = 12, k = 5;
        float[] queries = draw.Normals(n * d), items = draw.Normals(m * d);
        using DeviceBuffer<float> deviceQueries = usual.Upload(queries), deviceItems = usual.Upload(items);
        using DeviceBuffer<int> ids = usual.Allocate<int>(n * k);
        using DeviceBuffer<float> scores = usual.Allocate<float>(n * k);
        TopK.Find(usual, new RetrievalArguments(n, m, d, deviceQueries, deviceItems, Similarity.Cosine), k, ids, scores);

        var args = new tt_retrieval_args
        {
            n = n,
            m = m,
            d = d,
            similarity = (int)Similarity.Cosine,
            queries = foreign.Put(queries),
            items = foreign.Put(items),
        };
        int* foreignIds = foreign.Take<int>(n * k);
        float* foreignScores = foreign.Take<float>(n * k);
        TopK.Invoke(adopting, args, k, foreignIds, foreignScores);
        foreign.AssertSame(adopting, foreignIds, ids, "ids");
        foreign.AssertSame(adopting, foreignScores, scores, "scores");
    }

    /// <summary>One allocation that neither device has made, used in parts as a framework uses what it takes for tensors: aligned to 4 bytes and no more.</summary>
    private sealed class ForeignMemory : IDisposable
    {
        private readonly Device _owner = Device.Cuda();
        private readonly DeviceBuffer<int> _memory;
        private long _used = 1;

        public ForeignMemory() => _memory = _owner.Allocate<int>(1 << 15);

        public T* Take<T>(long count)
            where T : unmanaged
        {
            Assert.That(sizeof(T), Is.EqualTo(sizeof(int)));
            T* part = (T*)(_memory.Pointer + _used);
            _used += count | 1; // the next part begins beside a multiple of 16 bytes
            Assert.That(_used, Is.LessThanOrEqualTo(_memory.Length));
            return part;
        }

        /// <summary>The owner is done with its copy when this returns.</summary>
        public T* Put<T>(T[] values)
            where T : unmanaged
        {
            T* part = Take<T>(values.Length);
            var words = new int[values.Length];
            Buffer.BlockCopy(values, 0, words, 0, sizeof(int) * words.Length);
            _memory.CopyFrom(words, (int*)part - _memory.Pointer);
            _owner.Synchronize();
            return part;
        }

        /// <summary>Reads by the owner, after the device is done.</summary>
        public void AssertSame<T>(Device device, T* found, DeviceBuffer<T> expected, string what)
            where T : unmanaged
        {
            device.Synchronize();
            var words = new int[expected.Length];
            _memory.CopyTo(words, (int*)found - _memory.Pointer);
            byte[] bits = Bits.Of(expected.ToArray());
            Assert.That(bits, Has.Some.Not.Zero, what);
            Assert.That(Bits.Of(words), Is.EqualTo(bits), what);
        }

        public void Dispose()
        {
            _memory.Dispose();
            _owner.Dispose();
        }
    }
}
