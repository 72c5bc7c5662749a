using TorchSharp;
using Twintail.Interop;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

internal sealed class SampledSoftmaxTests : OpFixture
{
    private static readonly (int N, int M, int D)[] Shapes =
    [
        (1, 1, 1), (1, 7, 3), (5, 5, 2), (3, 17, 16), (17, 33, 19), (64, 64, 64), (37, 130, 65), (129, 257, 100),
        (200, 61, 33), (70, 300, 128),
    ];

    private static IEnumerable<TestCaseData> Cases()
    {
        foreach ((int n, int m, int d) in Shapes)
        {
            foreach (float temperature in new[] { .01f, .05f, .3f, 1f })
            {
                foreach (bool everything in new[] { false, true })
                {
                    if (everything || n <= m)
                    {
                        yield return new TestCaseData(n, m, d, temperature, everything);
                    }
                }
            }
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void LossAndGradientsAreThoseOfTorch(int n, int m, int d, float temperature, bool everything)
    {
        Draw draw = Draw.Fresh();
        Problem problem = everything
            ? Problem.WithEverything(draw, n, m, d, temperature)
            : Problem.Plain(draw, n, m, d, temperature);
        Outputs ours = problem.Run(Device);
        Reference exact = problem.Torch(ScalarType.Float64);
        Reference[] torch = draw.Fill(Accuracy.Orders, () => problem.Torch(ScalarType.Float32, draw));
        Accuracy.Check("loss", ours.Loss, exact.Loss, torch.Select(t => t.Loss), size: problem.LogitSize);
        Accuracy.Check("log_sum_exp", ours.LogSumExp, exact.LogSumExp, torch.Select(t => t.LogSumExp), size: problem.LogitSize);
        Accuracy.Check("total", ours.Total[0], exact.Total, torch.Select(t => t.Total), size: problem.LogitSize * problem.Scale);
        Accuracy.Check("grad_queries", ours.GradQueries, exact.GradQueries, torch.Select(t => t.GradQueries));
        Accuracy.Check("grad_candidates", ours.GradCandidates, exact.GradCandidates, torch.Select(t => t.GradCandidates));

        // A sum of n·m terms that mostly cancel: its size says nothing about its error, theirs does.
        double torchError = torch.Max(t => Math.Abs(t.GradInverseTemperature - exact.GradInverseTemperature));
        Assert.That(ours.GradInverseTemperature[0], Is.EqualTo(exact.GradInverseTemperature).Within(
            (2 * torchError) + (4e-7 * problem.Size())));
    }

    [TestCase(130, 130, 64, .05f)]
    [TestCase(257, 300, 100, .2f)]
    [TestCase(64, 200, 33, 1f)]
    public void Bfloat16IsAsGoodAsRoundingTheUnitVectors(int n, int m, int d, float temperature)
    {
        Problem problem = Problem.Plain(Draw.Fresh(), n, m, d, temperature);
        Outputs ours = (problem with { Precision = Precision.Bfloat16 }).Run(Device);
        Reference exact = problem.Torch(ScalarType.Float64);
        Reference[] rounded = [(problem with { Precision = Precision.Bfloat16 }).Torch(ScalarType.Float32)];
        Accuracy.Check("loss", ours.Loss, exact.Loss, rounded.Select(t => t.Loss));
        Accuracy.Check("grad_queries", ours.GradQueries, exact.GradQueries, rounded.Select(t => t.GradQueries));
        Accuracy.Check("grad_candidates", ours.GradCandidates, exact.GradCandidates, rounded.Select(t => t.GradCandidates));
        Assert.That(ours.Loss, Is.Not.EqualTo(problem.Run(Device).Loss), "the operands were rounded");
    }

    [Test]
    public void HandDerivedExample()
    {
        // Cosines are 1 on the diagonal and 0 beside it, τ = 1, q = (1/2, 1/4), so s = cos − log q gives
        // exp(s) = [[2e, 4], [2, 4e]]:
        // loss_1 = −ln(2e / (2e + 4)) = ln(1 + 2/e),  loss_2 = −ln(4e / (2 + 4e)) = ln(1 + 1/(2e)).
        // With p_ij the softmax, ∂total/∂(1/τ) = 1/2 Σ_i Σ_j (p_ij − [j = i]) cos_ij = 1/2 ((p_11 − 1) + (p_22 − 1)).
        double e = Math.E;
        SampledSoftmaxResult result = SampledSoftmax.Compute(
            Device, 2, [3, 0, 0, 5], [.5f, 0, 0, 2], temperature: 1, logQ: [(float)Math.Log(.5), (float)Math.Log(.25)]);
        double first = Math.Log(1 + (2 / e));
        double second = Math.Log(1 + (1 / (2 * e)));
        Assert.That(result.Loss[0], Is.EqualTo(first).Within(1e-6));
        Assert.That(result.Loss[1], Is.EqualTo(second).Within(1e-6));
        Assert.That(result.Total, Is.EqualTo((first + second) / 2).Within(1e-6));
        Assert.That(result.LogSumExp[0], Is.EqualTo(Math.Log((2 * e) + 4)).Within(1e-6));
        double gradient = (((2 * e / ((2 * e) + 4)) - 1) + ((4 * e / ((4 * e) + 2)) - 1)) / 2;
        Assert.That(result.GradInverseTemperature, Is.EqualTo(gradient).Within(1e-6));

        // ∂loss_1/∂q_1 = Σ_j (p_1j − [j = 1]) c_j projected off q_1 and divided by |q_1| = 3: only p_12 c_2 is left. Mean over 2.
        double p12 = 4 / ((2 * e) + 4);
        Assert.That(result.GradQueries[0], Is.EqualTo(0).Within(1e-7));
        Assert.That(result.GradQueries[1], Is.EqualTo(p12 / 3 / 2).Within(1e-6));
    }

    [Test]
    public void AccidentalHitsAreLeftOut()
    {
        // Column 1 is row 0's own item again: without it the row has only its positive and loses nothing.
        SampledSoftmaxResult result = SampledSoftmax.Compute(
            Device, 2, [1, 0], [1, 0, 1, 0], temperature: .1f, positives: [0], candidateIds: [7, 7]);
        Assert.That(result.Loss[0], Is.EqualTo(0).Within(1e-6));
        Assert.That(result.GradCandidates, Is.All.EqualTo(0));
        SampledSoftmaxResult without = SampledSoftmax.Compute(Device, 2, [1, 0], [1, 0, 1, 0], temperature: .1f, positives: [0]);
        Assert.That(without.Loss[0], Is.EqualTo(Math.Log(2)).Within(1e-6));
    }

    [Test]
    public void ZeroRowsHaveCosineZeroAndNoGradient()
    {
        Draw draw = Draw.Fresh();
        const int n = 9, m = 13, d = 5;
        float[] queries = draw.Normals(n * d);
        float[] candidates = draw.Normals(m * d);
        Array.Clear(queries, 3 * d, d);
        Array.Clear(candidates, 4 * d, d);
        SampledSoftmaxResult result = SampledSoftmax.Compute(Device, d, queries, candidates, .07f);
        Assert.That(result.Loss[3], Is.EqualTo(Math.Log(m)).Within(1e-5));
        Assert.That(result.GradQueries.AsSpan(3 * d, d).ToArray(), Is.All.EqualTo(0));
        Assert.That(result.GradCandidates.AsSpan(4 * d, d).ToArray(), Is.All.EqualTo(0));
        Assert.That(result.GradQueries, Has.None.NaN);
    }

    [TestCase(.05f)]
    [TestCase(1f)]
    public void GradientsAreCentralDifferences(float temperature)
    {
        Draw draw = Draw.Fresh();
        Problem problem = Problem.WithEverything(draw, 23, 31, 12, temperature, zeroRows: false);
        Outputs at = problem.Run(Device);
        CheckDirection(problem, problem.Queries, at.GradQueries, draw, temperature);
        CheckDirection(problem, problem.Candidates, at.GradCandidates, draw, temperature);

        float h = problem.InverseTemperature * .01f;
        double up = (problem with { InverseTemperature = problem.InverseTemperature + h }).Run(Device).Total[0];
        double down = (problem with { InverseTemperature = problem.InverseTemperature - h }).Run(Device).Total[0];
        double slope = (up - down) / (2 * h);
        Assert.That(at.GradInverseTemperature[0], Is.EqualTo(slope).Within(Math.Abs(slope) * .01 + 1e-4));
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        Draw draw = Draw.Fresh();
        Problem problem = Problem.WithEverything(draw, 301, 777, 48, .05f);
        SameForAnyThreadCount(device =>
        {
            Outputs o = problem.Run(device);
            return [o.Loss, o.LogSumExp, o.Total, o.GradQueries, o.GradCandidates, o.GradInverseTemperature];
        });
    }

    [Test]
    public void AnyOutputMayBeLeftOut()
    {
        Problem problem = Problem.WithEverything(Draw.Fresh(), 40, 57, 24, .1f);
        Outputs all = problem.Run(Device);
        for (int which = 0; which < 6; which++)
        {
            Outputs one = problem.Run(Device, only: which);
            Assert.That(Bits.Of(one.All[which]), Is.EqualTo(Bits.Of(all.All[which])), $"output {which} alone");
        }
    }

    [TestCase(.3f)]
    [TestCase(.004f)]
    public void ALearntTemperatureIsReadFromTheDevice(float temperature)
    {
        float learnt = -MathF.Log(temperature);
        Problem problem = Problem.WithEverything(Draw.Fresh(), 40, 57, 24, temperature) with { InverseTemperature = (float)Math.Exp(learnt) };
        Outputs byValue = problem.Run(Device);
        Outputs byDevice = (problem with { LogInverseTemperature = learnt }).Run(Device);
        for (int which = 0; which < 5; which++)
        {
            Assert.That(Bits.Of(byDevice.All[which]), Is.EqualTo(Bits.Of(byValue.All[which])), $"output {which}");
        }

        // The last output is then the gradient of the logarithm.
        float gradient = byValue.GradInverseTemperature[0] * problem.InverseTemperature;
        Assert.That(byDevice.GradInverseTemperature[0], Is.EqualTo(gradient).Within(3e-7 * Math.Abs(gradient)));
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> rows = Device.Allocate<float>(8 * 4);
        using DeviceBuffer<int> indices = Device.Upload(new[] { 0, 1, 2, 8, 0, 0, 0, 0 });
        using DeviceBuffer<float> small = Device.Allocate<float>(3);
        SampledSoftmaxArguments Make(long n = 4, long m = 8, int d = 4, float inverse = 10) => new(n, m, d, rows, rows, inverse);
        void Call(SampledSoftmaxArguments arguments) => SampledSoftmax.Compute(Device, arguments);

        Refused("n", () => Call(Make(n: 0)));
        Refused("m", () => Call(Make(m: 0)));
        Refused("d", () => Call(Make(d: 0)));
        Refused("n", () => Call(new SampledSoftmaxArguments(8, 4, 4, rows, rows, 10)));
        foreach (float inverse in new[] { 0, -1, float.NaN, float.PositiveInfinity })
        {
            Refused("inverse_temperature", () => Call(Make(inverse: inverse)));
        }

        Refused("scale", () => Call(With(Make(), a => a.Scale = float.NaN)));
        Refused("precision", () => Call(With(Make(), a => a.Precision = (Precision)7)));
        Refused("positives[3]", () => Call(With(Make(), a => a.Positives = indices)));
        Refused("log_q", () => Call(With(Make(), a => a.LogQ = small)));
        Refused("queries", () => Call(new SampledSoftmaxArguments(4, 8, 4, small, rows, 10)));
        Refused("candidates", () => Call(new SampledSoftmaxArguments(4, 8, 4, rows, small, 10)));
        Refused("grad_queries", () => Call(With(Make(), a => a.GradQueries = small)));
        Refused("grad_candidates", () => Call(With(Make(), a => a.GradCandidates = small)));
        Refused("queries", () => Call(new SampledSoftmaxArguments(4, 8, 4, null!, rows, 10)));
        Refused("n", () => Call(Make(n: long.MaxValue / 2)));
        Refused("log_inverse_temperature", () => Call(With(Make(), a => a.GradLogInverseTemperature = small)));
        Refused("temperature", () => SampledSoftmax.Compute(Device, 2, [1, 0], [1, 0], temperature: 0));
        Refused("queries", () => SampledSoftmax.Compute(Device, 2, [1, 0, 1], [1, 0], temperature: 1));
        using Device other = Device.Cpu(1);
        using DeviceBuffer<float> foreign = other.Allocate<float>(32);
        Refused("queries", () => Call(new SampledSoftmaxArguments(4, 8, 4, foreign, rows, 10)));
    }

    private static SampledSoftmaxArguments With(SampledSoftmaxArguments arguments, Action<SampledSoftmaxArguments> change)
    {
        change(arguments);
        return arguments;
    }

    private void CheckDirection(Problem problem, float[] matrix, float[] gradient, Draw draw, float temperature)
    {
        float[] direction = draw.Normals(matrix.Length);
        float h = .02f * temperature * MathF.Sqrt(matrix.Average(x => x * x));
        double slope = 0;
        foreach (int sign in new[] { 1, -1 })
        {
            float[] moved = matrix.Zip(direction, (x, v) => x + (sign * h * v)).ToArray();
            Problem there = ReferenceEquals(matrix, problem.Queries)
                ? problem with { Queries = moved }
                : problem with { Candidates = moved };
            slope += sign * there.Run(Device).Total[0] / (2 * h);
        }

        double expected = gradient.Zip(direction, (g, v) => (double)g * v).Sum();
        double size = Math.Sqrt(gradient.Sum(g => (double)g * g));
        Assert.That(slope, Is.EqualTo(expected).Within((.02 * size) + 1e-4));
    }

    /// <summary>Inputs of the op.</summary>
    private sealed record Problem(
        int N, int M, int D, float[] Queries, float[] Candidates, float InverseTemperature)
    {
        public float Scale { get; init; } = 1;

        public Precision Precision { get; init; }

        /// <summary>In place of <see cref="InverseTemperature"/>, whose gradient is that by this then.</summary>
        public float? LogInverseTemperature { get; init; }

        public float[]? LogQ { get; init; }

        public int[]? Positives { get; init; }

        public int[]? Ids { get; init; }

        public float[]? Weights { get; init; }

        public static Problem Plain(Draw draw, int n, int m, int d, float temperature) =>
            new(n, m, d, draw.Normals(n * d), draw.Normals(m * d, .1f), 1 / temperature);

        public static Problem WithEverything(Draw draw, int n, int m, int d, float temperature, bool zeroRows = true)
        {
            Problem plain = Plain(draw, n, m, d, temperature);
            if (zeroRows)
            {
                draw.ZeroRows(plain.Queries, d, .05);
                draw.ZeroRows(plain.Candidates, d, .05);
            }

            return plain with
            {
                Scale = .37f,
                LogQ = draw.LogProbabilities(m),
                Positives = draw.Ints(n, 0, m),
                Ids = draw.Ints(m, 0, Math.Max(1, m * 2 / 3)),
                Weights = draw.Uniforms(n, 0, 2f / n),
            };
        }

        /// <summary>Size of the two terms of a logit, which may cancel.</summary>
        public double LogitSize => InverseTemperature + (LogQ?.Max(Math.Abs) ?? 0);

        /// <summary>Upper bound of Σ |w_i (p_ij − [j = pos]) cos_ij|.</summary>
        public double Size() => 2 * Math.Abs(Scale) * (Weights?.Sum(w => (double)w) ?? 1);

        public unsafe Outputs Run(Device device, int only = -1)
        {
            using DeviceBuffer<float> queries = device.Upload(Queries);
            using DeviceBuffer<float> candidates = device.Upload(Candidates);
            using DeviceBuffer<float>? logQ = LogQ == null ? null : device.Upload(LogQ);
            using DeviceBuffer<int>? positives = Positives == null ? null : device.Upload(Positives);
            using DeviceBuffer<int>? ids = Ids == null ? null : device.Upload(Ids);
            using DeviceBuffer<float>? weights = Weights == null ? null : device.Upload(Weights);
            using DeviceBuffer<float> loss = device.Allocate<float>(N);
            using DeviceBuffer<float> logSumExp = device.Allocate<float>(N);
            using DeviceBuffer<double> total = device.Allocate<double>(1);
            using DeviceBuffer<float> gradQueries = device.Allocate<float>(N * D);
            using DeviceBuffer<float> gradCandidates = device.Allocate<float>(M * D);
            using DeviceBuffer<float> gradInverse = device.Allocate<float>(1);
            using DeviceBuffer<float>? learnt = LogInverseTemperature is { } logarithm ? device.Upload(new[] { logarithm }) : null;
            DeviceBuffer<float>? gradTemperature = only is -1 or 5 ? gradInverse : null;
            SampledSoftmax.Compute(device, new SampledSoftmaxArguments(N, M, D, queries, candidates, learnt == null ? InverseTemperature : float.NaN)
            {
                Scale = Scale,
                Precision = Precision,
                LogQ = logQ,
                Positives = positives,
                CandidateIds = ids,
                Weights = weights,
                Loss = only is -1 or 0 ? loss : null,
                LogSumExp = only is -1 or 1 ? logSumExp : null,
                Total = only is -1 or 2 ? total : null,
                GradQueries = only is -1 or 3 ? gradQueries : null,
                GradCandidates = only is -1 or 4 ? gradCandidates : null,
                GradInverseTemperature = learnt == null ? gradTemperature : null,
                LogInverseTemperature = learnt,
                GradLogInverseTemperature = learnt == null ? null : gradTemperature,
            });
            return new Outputs(
                loss.ToArray(), logSumExp.ToArray(), total.ToArray(), gradQueries.ToArray(), gradCandidates.ToArray(), gradInverse.ToArray());
        }

        private Tensor Rows(Tensor matrix, int[]? order, Draw? draw)
        {
            Tensor rows = Ops.Torch.Unit(Ops.Torch.Varied(matrix, order, draw));
            return Precision == Precision.Bfloat16 ? rows.to(ScalarType.BFloat16).to(rows.dtype) : rows;
        }

        /// <summary>The same in TorchSharp, with autograd.</summary>
        public Reference Torch(ScalarType type, Draw? draw = null)
        {
            using IDisposable scope = Ops.Torch.Scope();
            Tensor queries = Ops.Torch.Leaf(Queries, type, N, D);
            Tensor candidates = Ops.Torch.Leaf(Candidates, type, M, D);
            Tensor inverse = Ops.Torch.Leaf([InverseTemperature], type, 1);
            int[]? order = draw?.Permutation(D);
            Tensor s = inverse * Rows(queries, order, draw).mm(Rows(candidates, order, draw).t());
            if (LogQ != null)
            {
                s = s - Ops.Torch.Of(LogQ, type, 1, M);
            }

            Tensor positives = Positives == null ? arange(N, dtype: ScalarType.Int64) : Ops.Torch.Index(Positives);
            Tensor columns = positives.unsqueeze(1);
            if (Ids != null)
            {
                Tensor ids = Ops.Torch.Index(Ids);
                Tensor same = ids.unsqueeze(0) == ids.index_select(0, positives).unsqueeze(1);
                Tensor other = arange(M, dtype: ScalarType.Int64).unsqueeze(0) != columns;
                s = s.masked_fill(same & other, double.NegativeInfinity);
            }

            Tensor logSumExp = s.logsumexp(1);
            Tensor loss = logSumExp - s.gather(1, columns).squeeze(1);
            Tensor weights = Weights == null ? full(N, 1.0 / N, dtype: type) : Ops.Torch.Of(Weights, type, N);
            Tensor total = Scale * (weights * loss).sum();
            total.backward();
            return new Reference(
                Ops.Torch.Values(loss),
                Ops.Torch.Values(logSumExp),
                Ops.Torch.Values(total)[0],
                Ops.Torch.Gradient(queries),
                Ops.Torch.Gradient(candidates),
                Ops.Torch.Gradient(inverse)[0]);
        }
    }

    private sealed record Outputs(
        float[] Loss, float[] LogSumExp, double[] Total, float[] GradQueries, float[] GradCandidates, float[] GradInverseTemperature)
    {
        public Array[] All => [Loss, LogSumExp, Total, GradQueries, GradCandidates, GradInverseTemperature];
    }

    private sealed record Reference(
        double[] Loss, double[] LogSumExp, double Total, double[] GradQueries, double[] GradCandidates, double GradInverseTemperature);
}
