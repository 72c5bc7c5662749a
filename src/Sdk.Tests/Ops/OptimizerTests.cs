using TorchSharp;
using Twintail.Interop;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

/// <summary>dense_update and sparse_update against TorchSharp's optimisers, and against formulas where it has none.</summary>
internal sealed class OptimizerTests : OpFixture
{
    private static IEnumerable<Optimizer> Dense() =>
    [
        Optimizer.Sgd(.1f),
        Optimizer.Sgd(.1f, weightDecay: .03f),
        Optimizer.Adagrad(.05f, 1e-10f),
        Optimizer.Adagrad(.05f, 1e-6f, weightDecay: .02f),
        Optimizer.Adam(.01f),
        Optimizer.Adam(.01f, .8f, .95f, 1e-6f, weightDecay: .1f),
    ];

    [Test]
    public void DenseStepsAreThoseOfTorch([ValueSource(nameof(Dense))] Optimizer optimizer, [Values(1, 7, 64, 1003)] int count)
    {
        Draw draw = Draw.Fresh();
        float[] start = draw.Normals(count);

        // Away from 0: where a gradient and its weight's decay cancel, Adagrad divides one rounding error by another.
        float[][] gradients = draw.Fill(12, () => draw.Fill(count, () => (draw.Chance(.5) ? 1 : -1) * (.2f + Math.Abs(draw.Normal()))));
        using DeviceBuffer<float> parameters = Device.Upload(start);
        using DeviceBuffer<float> state1 = Device.Allocate<float>(count);
        using DeviceBuffer<float> state2 = Device.Allocate<float>(count);
        for (int step = 1; step <= gradients.Length; step++)
        {
            using DeviceBuffer<float> gradient = Device.Upload(gradients[step - 1]);
            DenseUpdate.Apply(Device, optimizer, step, parameters, gradient, state1, state2);
        }

        Accuracy.Check(
            "parameters",
            parameters.ToArray(),
            Torch(optimizer, start, gradients, ScalarType.Float64),
            [Torch(optimizer, start, gradients, ScalarType.Float32)],
            size: LongestWay(optimizer, start, gradients));
    }

    [Test]
    public void HandDerivedSteps()
    {
        // w = 1, g = 2, lr = 0.1.
        Check(Optimizer.Sgd(.1f), .8);
        Check(Optimizer.Sgd(.1f, weightDecay: .5f), 1 - (.1 * (2 + .5)));
        Check(Optimizer.Adagrad(.1f, 1e-10f), 1 - (.1 * 2 / Math.Sqrt(4)));
        Check(Optimizer.Adam(.1f), 1 - .1);                                  // m / √v = g / |g| at the first step
        Check(Optimizer.Adam(.1f, weightDecay: .5f), (1 - (.1 * .5)) - .1);  // decoupled

        void Check(Optimizer optimizer, double expected)
        {
            using DeviceBuffer<float> w = Device.Upload(new[] { 1f });
            using DeviceBuffer<float> g = Device.Upload(new[] { 2f });
            using DeviceBuffer<float> state1 = Device.Allocate<float>(1);
            using DeviceBuffer<float> state2 = Device.Allocate<float>(1);
            DenseUpdate.Apply(Device, optimizer, 1, w, g, state1, state2);
            Assert.That(w.ToArray()[0], Is.EqualTo(expected).Within(1e-6), optimizer.ToString());
        }
    }

    [Test]
    public void RowwiseAdagradByHand()
    {
        // Row 2 occurs twice: g = (1, 2) + (2, 2) = (3, 4), mean of squares 12.5; row 0: g = (1, 1), mean 1.
        using var table = new EmbeddingTable(Device, 4, 2, Optimizer.RowwiseAdagrad(.1f));
        table.Weights.CopyFrom([1, 1, 2, 2, 3, 3, 4, 4]);
        table.State1!.CopyFrom([0, 0, 2, 0]);
        using DeviceBuffer<int> ids = Device.Upload(new[] { 2, 0, 2 });
        using DeviceBuffer<float> values = Device.Upload(new float[] { 1, 2, 1, 1, 2, 2 });
        SparseUpdate.Apply(Device, Optimizer.RowwiseAdagrad(.1f), 1, table, ids, values);
        double root = Math.Sqrt(14.5);
        double[] expected = [.9, .9, 2, 2, 3 - (.3 / root), 3 - (.4 / root), 4, 4];
        float[] weights = table.Weights.ToArray();
        for (int i = 0; i < expected.Length; i++)
        {
            Assert.That(weights[i], Is.EqualTo(expected[i]).Within(1e-6), $"weight {i}");
        }

        float[] state = table.State1.ToArray();
        Assert.That(state[0], Is.EqualTo(1));
        Assert.That(state[2], Is.EqualTo(14.5).Within(1e-5));
        Assert.That(state[1] + state[3], Is.Zero, "rows that were not touched");
    }

    [Test]
    public void SparseStepsFollowTheFormulas(
        [Values] OptimizerKind kind, [Values(0f, .02f)] float decay, [Values(1, 3, 16, 33)] int dim)
    {
        Draw draw = Draw.Fresh();
        var optimizer = new Optimizer(kind, .05f, 1e-8f, .8f, .97f, decay);
        const int rows = 41, steps = 6, count = 57;
        float[] start = draw.Normals(rows * dim);
        using var table = new EmbeddingTable(Device, rows, dim, optimizer);
        table.Weights.CopyFrom(start);
        var exact = new SparseReference(optimizer, start, dim, x => x);
        var single = new SparseReference(optimizer, start, dim, x => (float)x);
        for (int step = 1; step <= steps; step++)
        {
            int[] ids = draw.Ints(count, 0, rows - 5); // duplicates, and rows that are never touched
            float[] values = draw.Normals(count * dim, .5f);
            using DeviceBuffer<int> deviceIds = Device.Upload(ids);
            using DeviceBuffer<float> deviceValues = Device.Upload(values);
            SparseUpdate.Apply(Device, optimizer, step, table, deviceIds, deviceValues);
            exact.Step(ids, values, step);
            single.Step(ids, values, step);
        }

        Accuracy.Check("weights", table.Weights.ToArray(), exact.Weights, [single.Weights], ulps: 8, size: start.Max(Math.Abs));
        if (table.State1 != null)
        {
            Accuracy.Check("state1", table.State1.ToArray(), exact.State1, [single.State1], ulps: 8);
        }

        float[] untouched = table.Weights.ToArray()[((rows - 5) * dim)..];
        Assert.That(untouched, Is.EqualTo(start[((rows - 5) * dim)..]), "rows that no gradient touched");
    }

    [Test]
    public void SparseEqualsDenseWhereEveryRowIsTouchedOnce([Values(OptimizerKind.Sgd, OptimizerKind.Adagrad, OptimizerKind.Adam)] OptimizerKind kind)
    {
        Draw draw = Draw.Fresh();
        var optimizer = new Optimizer(kind, .05f, 1e-8f, WeightDecay: .01f);
        const int rows = 29, dim = 24;
        float[] start = draw.Normals(rows * dim);
        using var table = new EmbeddingTable(Device, rows, dim, optimizer);
        table.Weights.CopyFrom(start);
        using DeviceBuffer<float> dense = Device.Upload(start);
        using DeviceBuffer<float> state1 = Device.Allocate<float>(rows * dim);
        using DeviceBuffer<float> state2 = Device.Allocate<float>(rows * dim);
        using DeviceBuffer<int> ids = Device.Upload(Enumerable.Range(0, rows).ToArray());
        for (int step = 1; step <= 5; step++)
        {
            using DeviceBuffer<float> gradient = Device.Upload(draw.Normals(rows * dim));
            SparseUpdate.Apply(Device, optimizer, step, table, ids, gradient);
            DenseUpdate.Apply(Device, optimizer, step, dense, gradient, state1, state2);
        }

        float[] one = table.Weights.ToArray();
        float[] other = dense.ToArray();
        for (int i = 0; i < one.Length; i++)
        {
            Assert.That(one[i], Is.EqualTo(other[i]).Within(4e-7 * Math.Max(1, Math.Abs(other[i]))), $"weight {i}");
        }
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        Draw draw = Draw.Fresh();
        const int rows = 500, dim = 20, count = 40_000;
        Optimizer optimizer = Optimizer.RowwiseAdagrad(.05f);
        float[] start = draw.Normals(rows * dim);
        int[] ids = draw.Fill(count, () => draw.Chance(.3) ? 7 : draw.Int(0, rows)); // one long run
        float[] values = draw.Normals(count * dim);
        SameForAnyThreadCount(device =>
        {
            using var table = new EmbeddingTable(device, rows, dim, optimizer);
            table.Weights.CopyFrom(start);
            using DeviceBuffer<int> deviceIds = device.Upload(ids);
            using DeviceBuffer<float> deviceValues = device.Upload(values);
            SparseUpdate.Apply(device, optimizer, 1, table, deviceIds, deviceValues);
            return [table.Weights.ToArray(), table.State1!.ToArray()];
        });
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> w = Device.Allocate<float>(8);
        using DeviceBuffer<float> small = Device.Allocate<float>(7);
        using DeviceBuffer<float> g = Device.Allocate<float>(8);
        Optimizer adam = Optimizer.Adam(.1f);
        void Dense(Optimizer o, long step = 1) => DenseUpdate.Apply(Device, o, step, w, g, w, w);

        Refused("optimizer.kind", () => Dense(adam with { Kind = (OptimizerKind)9 }));
        Refused("optimizer.learning_rate", () => Dense(adam with { LearningRate = -1 }));
        Refused("optimizer.learning_rate", () => Dense(adam with { LearningRate = float.NaN }));
        Refused("optimizer.epsilon", () => Dense(adam with { Epsilon = 0 }));
        Refused("optimizer.beta1", () => Dense(adam with { Beta1 = 1 }));
        Refused("optimizer.beta2", () => Dense(adam with { Beta2 = -.1f }));
        Refused("optimizer.weight_decay", () => Dense(adam with { WeightDecay = -1 }));
        Refused("optimizer.step", () => Dense(adam, step: 0));
        Refused("gradients", () => DenseUpdate.Apply(Device, adam, 1, w, small, w, w));
        Refused("state1", () => DenseUpdate.Apply(Device, adam, 1, w, g, null, w));
        Refused("state2", () => DenseUpdate.Apply(Device, adam, 1, w, g, w, null));
        Refused("state1", () => DenseUpdate.Apply(Device, adam, 1, w, g, small, w));
        UnsupportedException error = Assert.Throws<UnsupportedException>(() => Dense(Optimizer.RowwiseAdagrad(.1f)))!;
        Assert.That(error.Message, Does.Contain("row-wise"));

        using var table = new EmbeddingTable(Device, 4, 2, adam);
        using var stateless = new EmbeddingTable(Device, 4, 2);
        using DeviceBuffer<int> ids = Device.Upload(new[] { 0, 1, 3 });
        using DeviceBuffer<int> wrong = Device.Upload(new[] { 0, 4, 3 });
        using DeviceBuffer<int> four = Device.Upload(new[] { 0, 1, 3, 2 });
        using DeviceBuffer<int> negative = Device.Upload(new[] { 0, 1, -1 });
        Refused("ids[1]", () => SparseUpdate.Apply(Device, adam, 1, table, wrong, g));
        Refused("ids[2]", () => SparseUpdate.Apply(Device, adam, 1, table, negative, g));
        Refused("values", () => SparseUpdate.Apply(Device, adam, 1, table, four, small));
        Refused("embedding.state1", () => SparseUpdate.Apply(Device, adam, 1, stateless, ids, g));
        Refused("optimizer.step", () => SparseUpdate.Apply(Device, adam, 0, table, ids, g));
        tt_embedding native = table.ToNative();
        unsafe
        {
            Refused("embedding.dim", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native with { dim = 0 }, ids.Pointer, g.Pointer, 3));
            Refused("embedding.rows", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native with { rows = 0 }, ids.Pointer, g.Pointer, 3));
            Refused("embedding.dtype", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native with { dtype = 5 }, ids.Pointer, g.Pointer, 3));
            Refused("embedding.weights", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native with { weights = null }, ids.Pointer, g.Pointer, 3));
            Refused("ids", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native, null, g.Pointer, 3));
            Refused("values", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native, ids.Pointer, null, 3));
            Refused("count", () => SparseUpdate.Invoke(Device, adam.ToNative(1), native, ids.Pointer, g.Pointer, -1));
        }
    }

    /// <summary>The largest sum of a weight's start and of the sizes of all its steps: steps that cancel leave what rounding each cost.</summary>
    private static double LongestWay(Optimizer optimizer, float[] start, float[][] gradients)
    {
        double[] way = Array.ConvertAll(start, w => Math.Abs((double)w));
        double[] last = Array.ConvertAll(start, w => (double)w);
        for (int steps = 1; steps <= gradients.Length; steps++)
        {
            double[] next = Torch(optimizer, start, gradients[..steps], ScalarType.Float64);
            for (int i = 0; i < way.Length; i++)
            {
                way[i] += Math.Abs(next[i] - last[i]);
            }

            last = next;
        }

        return way.Max();
    }

    private static double[] Torch(Optimizer o, float[] start, float[][] gradients, ScalarType type)
    {
        using IDisposable scope = Ops.Torch.Scope();
        var parameter = new TorchSharp.Modules.Parameter(Ops.Torch.Of(start, type, start.Length), requires_grad: true);
        TorchSharp.Modules.Parameter[] all = [parameter];
        using torch.optim.Optimizer optimizer = o.Kind switch
        {
            OptimizerKind.Sgd => torch.optim.SGD(all, o.LearningRate, weight_decay: o.WeightDecay),
            OptimizerKind.Adagrad => torch.optim.Adagrad(all, o.LearningRate, eps: o.Epsilon, weight_decay: o.WeightDecay),
            _ => torch.optim.AdamW(all, o.LearningRate, o.Beta1, o.Beta2, o.Epsilon, o.WeightDecay),
        };
        foreach (float[] gradient in gradients)
        {
            parameter.grad = Ops.Torch.Of(gradient, type, start.Length);
            optimizer.step();
        }

        return Ops.Torch.Values(parameter);
    }

    /// <summary>The formulas of twintail.h, every intermediate result rounded by <paramref name="round"/>.</summary>
    private sealed class SparseReference(Optimizer o, float[] start, int dim, Func<double, double> round)
    {
        public double[] Weights { get; } = Array.ConvertAll(start, x => (double)x);

        public double[] State1 { get; } = new double[o.State1Length(start.Length / dim, dim)];

        private double[] State2 { get; } = new double[o.State2Length(start.Length / dim, dim)];

        public void Step(int[] ids, float[] values, int step)
        {
            foreach (int row in ids.Distinct())
            {
                var gradient = new double[dim];
                for (int i = 0; i < ids.Length; i++)
                {
                    for (int k = 0; ids[i] == row && k < dim; k++)
                    {
                        gradient[k] = round(gradient[k] + values[(i * dim) + k]);
                    }
                }

                StepRow(row, gradient, step);
            }
        }

        private void StepRow(int row, double[] g, int step)
        {
            if (o.Kind != OptimizerKind.Adam)
            {
                for (int k = 0; k < dim; k++)
                {
                    g[k] = round(g[k] + round(o.WeightDecay * Weights[(row * dim) + k]));
                }
            }

            if (o.Kind == OptimizerKind.RowwiseAdagrad)
            {
                double squares = 0;
                foreach (double x in g)
                {
                    squares = round(squares + round(x * x));
                }

                State1[row] = round(State1[row] + round(squares / dim));
            }

            for (int k = 0; k < dim; k++)
            {
                StepWeight(row, (row * dim) + k, g[k], step);
            }
        }

        private void StepWeight(int row, int i, double g, int step)
        {
            double lr = o.LearningRate;
            switch (o.Kind)
            {
                case OptimizerKind.Sgd:
                    Weights[i] = round(Weights[i] - round(lr * g));
                    break;
                case OptimizerKind.RowwiseAdagrad:
                    Weights[i] = round(Weights[i] - round(round(lr * g) / round(round(Math.Sqrt(State1[row])) + o.Epsilon)));
                    break;
                case OptimizerKind.Adagrad:
                    State1[i] = round(State1[i] + round(g * g));
                    Weights[i] = round(Weights[i] - round(round(lr * g) / round(round(Math.Sqrt(State1[i])) + o.Epsilon)));
                    break;
                case OptimizerKind.Adam:
                    State1[i] = round(round(o.Beta1 * State1[i]) + round(round(1 - (double)o.Beta1) * g));
                    State2[i] = round(round(o.Beta2 * State2[i]) + round(round(1 - (double)o.Beta2) * round(g * g)));
                    double m = round(State1[i] / round(1 - Math.Pow(o.Beta1, step)));
                    double v = round(State2[i] / round(1 - Math.Pow(o.Beta2, step)));
                    double decayed = round(Weights[i] - round(lr * o.WeightDecay * Weights[i]));
                    Weights[i] = round(decayed - round(lr * m / round(round(Math.Sqrt(v)) + o.Epsilon)));
                    break;
            }
        }
    }
}
