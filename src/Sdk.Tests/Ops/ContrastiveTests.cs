using TorchSharp;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

internal sealed class ContrastiveTests : OpFixture
{
    private static IEnumerable<TestCaseData> Cases()
    {
        foreach ((int m, int d) in new[] { (1, 1), (2, 3), (17, 16), (33, 19), (64, 64), (130, 65), (257, 128) })
        {
            foreach (float temperature in new[] { .01f, .1f, 1f })
            {
                foreach (bool symmetric in new[] { false, true })
                {
                    foreach (bool everything in new[] { false, true })
                    {
                        yield return new TestCaseData(m, d, temperature, symmetric, everything);
                    }
                }
            }
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void LossAndGradientsAreThoseOfTorch(int m, int d, float temperature, bool symmetric, bool everything)
    {
        Draw draw = Draw.Fresh();
        Problem problem = Problem.Make(draw, m, d, temperature, symmetric, everything);
        Outputs ours = problem.Run(Device);
        Reference exact = problem.Torch(ScalarType.Float64);
        Reference[] torch = draw.Fill(Accuracy.Orders, () => problem.Torch(ScalarType.Float32, draw));
        Accuracy.Check("loss", ours.Loss, exact.Loss, torch.Select(t => t.Loss), size: problem.InverseTemperature);
        Accuracy.Check("total", ours.Total[0], exact.Total, torch.Select(t => t.Total), size: problem.InverseTemperature);
        Accuracy.Check("grad_view1", ours.GradView1, exact.GradView1, torch.Select(t => t.GradView1));
        Accuracy.Check("grad_view2", ours.GradView2, exact.GradView2, torch.Select(t => t.GradView2));
        double size = 2 * problem.Scale * (problem.Weights?.Sum(w => (double)w) ?? 1);
        double torchError = torch.Max(t => Math.Abs(t.GradInverseTemperature - exact.GradInverseTemperature));
        Assert.That(ours.GradInverseTemperature[0], Is.EqualTo(exact.GradInverseTemperature).Within(
            (2 * torchError) + (4e-7 * size)));
    }

    [Test]
    public void HandDerivedExample()
    {
        // x = y = the unit vectors, τ' = 1/2: s = 2 on the diagonal, 0 beside it; loss_i = −2 + ln(e² + 1) = ln(1 + e⁻²), both ways.
        double expected = Math.Log(1 + Math.Exp(-2));
        foreach (bool symmetric in new[] { false, true })
        {
            ContrastiveResult result = Contrastive.Compute(Device, 2, [1, 0, 0, 4], [2, 0, 0, 1], .5f, symmetric);
            Assert.That(result.Loss, Is.All.EqualTo(expected).Within(1e-6));
            Assert.That(result.Total, Is.EqualTo(expected).Within(1e-6));
        }
    }

    [Test]
    public void TheSameItemTwiceIsNoNegative()
    {
        ContrastiveResult result = Contrastive.Compute(Device, 2, [1, 0, 1, 0], [1, 0, 1, 0], .1f, ids: [5, 5]);
        Assert.That(result.Loss, Is.All.EqualTo(0).Within(1e-6));
        Assert.That(Contrastive.Compute(Device, 2, [1, 0, 1, 0], [1, 0, 1, 0], .1f).Loss, Is.All.EqualTo(Math.Log(2)).Within(1e-6));
    }

    [Test]
    public void SymmetricIsTheMeanOfBothDirections()
    {
        Draw draw = Draw.Fresh();
        Problem forth = Problem.Make(draw, 41, 20, .2f, symmetric: false, everything: true);
        Problem back = forth with { View1 = forth.View2, View2 = forth.View1 };
        Outputs one = forth.Run(Device);
        Outputs two = back.Run(Device);
        Outputs both = (forth with { Symmetric = true }).Run(Device);
        for (int i = 0; i < 41; i++)
        {
            Assert.That(both.Loss[i], Is.EqualTo((one.Loss[i] + two.Loss[i]) / 2).Within(1e-5));
        }

        Assert.That(both.Total[0], Is.EqualTo((one.Total[0] + two.Total[0]) / 2).Within(1e-6));
        for (int i = 0; i < both.GradView1.Length; i++)
        {
            Assert.That(both.GradView1[i], Is.EqualTo((one.GradView1[i] + two.GradView2[i]) / 2).Within(1e-5));
            Assert.That(both.GradView2[i], Is.EqualTo((one.GradView2[i] + two.GradView1[i]) / 2).Within(1e-5));
        }
    }

    [TestCase(false)]
    [TestCase(true)]
    public void GradientsAreCentralDifferences(bool symmetric)
    {
        Draw draw = Draw.Fresh();
        Problem problem = Problem.Make(draw, 19, 11, .1f, symmetric, everything: true, zeroRows: false);
        Outputs at = problem.Run(Device);
        foreach (bool first in new[] { true, false })
        {
            float[] matrix = first ? problem.View1 : problem.View2;
            float[] gradient = first ? at.GradView1 : at.GradView2;
            float[] direction = draw.Normals(matrix.Length);
            const float h = .002f;
            double slope = 0;
            foreach (int sign in new[] { 1, -1 })
            {
                float[] moved = matrix.Zip(direction, (x, v) => x + (sign * h * v)).ToArray();
                Problem there = first ? problem with { View1 = moved } : problem with { View2 = moved };
                slope += sign * there.Run(Device).Total[0] / (2 * h);
            }

            double size = Math.Sqrt(gradient.Sum(g => (double)g * g));
            Assert.That(slope, Is.EqualTo(gradient.Zip(direction, (g, v) => (double)g * v).Sum()).Within((.02 * size) + 1e-4));
        }
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 515, 40, .1f, symmetric: true, everything: true);
        SameForAnyThreadCount(device => problem.Run(device).All);
    }

    [Test]
    public void AnyOutputMayBeLeftOut()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 45, 24, .1f, symmetric: true, everything: true);
        Outputs all = problem.Run(Device);
        for (int which = 0; which < all.All.Length; which++)
        {
            Assert.That(Bits.Of(problem.Run(Device, which).All[which]), Is.EqualTo(Bits.Of(all.All[which])), $"output {which} alone");
        }
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> rows = Device.Allocate<float>(32);
        using DeviceBuffer<float> small = Device.Allocate<float>(3);
        using DeviceBuffer<int> few = Device.Allocate<int>(3);
        ContrastiveArguments Make(long m = 8, int d = 4, float inverse = 10) => new(m, d, rows, rows, inverse);
        void Call(ContrastiveArguments arguments, Action<ContrastiveArguments>? change = null)
        {
            change?.Invoke(arguments);
            Contrastive.Compute(Device, arguments);
        }

        Refused("m", () => Call(Make(m: 0)));
        Refused("d", () => Call(Make(d: 0)));
        Refused("inverse_temperature", () => Call(Make(inverse: 0)));
        Refused("inverse_temperature", () => Call(Make(inverse: float.NaN)));
        Refused("scale", () => Call(Make(), a => a.Scale = float.PositiveInfinity));
        Refused("precision", () => Call(Make(), a => a.Precision = (Precision)(-1)));
        Refused("view1", () => Call(new ContrastiveArguments(8, 4, small, rows, 1)));
        Refused("view2", () => Call(new ContrastiveArguments(8, 4, rows, small, 1)));
        Refused("ids", () => Call(Make(), a => a.Ids = few));
        Refused("weights", () => Call(Make(), a => a.Weights = small));
        Refused("grad_view1", () => Call(Make(), a => a.GradView1 = small));
        Refused("grad_view2", () => Call(Make(), a => a.GradView2 = small));
        Refused("view2", () => Contrastive.Compute(Device, 2, [1, 2], [1, 2, 3, 4], 1));
        Refused("temperature", () => Contrastive.Compute(Device, 2, [1, 2], [1, 2], float.NaN));
    }

    private sealed record Problem(int M, int D, float[] View1, float[] View2, float InverseTemperature, bool Symmetric)
    {
        public float Scale { get; init; } = 1;

        public int[]? Ids { get; init; }

        public float[]? Weights { get; init; }

        public static Problem Make(
            Draw draw, int m, int d, float temperature, bool symmetric, bool everything, bool zeroRows = true)
        {
            float[] view1 = draw.Normals(m * d);
            float[] noise = draw.Normals(m * d, .7f);
            var problem = new Problem(m, d, view1, view1.Zip(noise, (x, e) => x + e).ToArray(), 1 / temperature, symmetric);
            if (!everything)
            {
                return problem;
            }

            if (zeroRows)
            {
                draw.ZeroRows(problem.View1, d, .05);
                draw.ZeroRows(problem.View2, d, .05);
            }

            return problem with
            {
                Scale = 1.7f,
                Ids = draw.Ints(m, 0, Math.Max(1, m * 2 / 3)),
                Weights = draw.Uniforms(m, 0, 2f / m),
            };
        }

        public Outputs Run(Device device, int only = -1)
        {
            using DeviceBuffer<float> view1 = device.Upload(View1);
            using DeviceBuffer<float> view2 = device.Upload(View2);
            using DeviceBuffer<int>? ids = Ids == null ? null : device.Upload(Ids);
            using DeviceBuffer<float>? weights = Weights == null ? null : device.Upload(Weights);
            using DeviceBuffer<float> loss = device.Allocate<float>(M);
            using DeviceBuffer<double> total = device.Allocate<double>(1);
            using DeviceBuffer<float> grad1 = device.Allocate<float>(M * D);
            using DeviceBuffer<float> grad2 = device.Allocate<float>(M * D);
            using DeviceBuffer<float> gradInverse = device.Allocate<float>(1);
            Contrastive.Compute(device, new ContrastiveArguments(M, D, view1, view2, InverseTemperature)
            {
                Scale = Scale,
                Symmetric = Symmetric,
                Ids = ids,
                Weights = weights,
                Loss = only is -1 or 0 ? loss : null,
                Total = only is -1 or 1 ? total : null,
                GradView1 = only is -1 or 2 ? grad1 : null,
                GradView2 = only is -1 or 3 ? grad2 : null,
                GradInverseTemperature = only is -1 or 4 ? gradInverse : null,
            });
            return new Outputs(loss.ToArray(), total.ToArray(), grad1.ToArray(), grad2.ToArray(), gradInverse.ToArray());
        }

        public Reference Torch(ScalarType type, Draw? draw = null)
        {
            using IDisposable scope = Ops.Torch.Scope();
            Tensor view1 = Ops.Torch.Leaf(View1, type, M, D);
            Tensor view2 = Ops.Torch.Leaf(View2, type, M, D);
            Tensor inverse = Ops.Torch.Leaf([InverseTemperature], type, 1);
            int[]? order = draw?.Permutation(D);
            Tensor s = inverse * Ops.Torch.Unit(Ops.Torch.Varied(view1, order, draw)).mm(Ops.Torch.Unit(Ops.Torch.Varied(view2, order, draw)).t());
            if (Ids != null)
            {
                Tensor ids = Ops.Torch.Index(Ids);
                Tensor same = (ids.unsqueeze(0) == ids.unsqueeze(1)) & ~eye(M, dtype: ScalarType.Bool);
                s = s.masked_fill(same, double.NegativeInfinity);
            }

            Tensor loss = s.logsumexp(1) - s.diagonal();
            if (Symmetric)
            {
                loss = (loss + s.logsumexp(0) - s.diagonal()) / 2;
            }

            Tensor weights = Weights == null ? full(M, 1.0 / M, dtype: type) : Ops.Torch.Of(Weights, type, M);
            Tensor total = Scale * (weights * loss).sum();
            total.backward();
            return new Reference(
                Ops.Torch.Values(loss),
                Ops.Torch.Values(total)[0],
                Ops.Torch.Gradient(view1),
                Ops.Torch.Gradient(view2),
                Ops.Torch.Gradient(inverse)[0]);
        }
    }

    private sealed record Outputs(float[] Loss, double[] Total, float[] GradView1, float[] GradView2, float[] GradInverseTemperature)
    {
        public Array[] All => [Loss, Total, GradView1, GradView2, GradInverseTemperature];
    }

    private sealed record Reference(
        double[] Loss, double Total, double[] GradView1, double[] GradView2, double GradInverseTemperature);
}
