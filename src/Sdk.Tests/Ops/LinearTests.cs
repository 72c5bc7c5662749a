using TorchSharp;
using Twintail.Ops;
using static TorchSharp.torch;

namespace Twintail.Tests.Ops;

internal sealed class LinearTests : OpFixture
{
    private static IEnumerable<TestCaseData> Cases()
    {
        foreach ((int n, int inputs, int outputs) in new[] { (1, 1, 1), (3, 5, 2), (17, 1, 33), (64, 64, 64), (127, 65, 1), (130, 100, 257) })
        {
            foreach (Activation activation in new[] { Activation.None, Activation.Relu })
            {
                yield return new TestCaseData(n, inputs, outputs, activation, true);
                yield return new TestCaseData(n, inputs, outputs, activation, false);
            }
        }
    }

    [TestCaseSource(nameof(Cases))]
    public void OutputAndGradientsAreThoseOfTorch(int n, int inputs, int outputs, Activation activation, bool hasBias)
    {
        Draw draw = Draw.Fresh();
        Problem problem = Problem.Make(draw, n, inputs, outputs, activation, hasBias);
        float[][] ours = problem.Run(Device);
        double[][] exact = problem.Torch(ScalarType.Float64);
        double[][][] torch = draw.Fill(
            Accuracy.Orders, () => problem.Torch(ScalarType.Float32, draw.Permutation(n), draw.Permutation(inputs), draw.Permutation(outputs)));
        string[] names = ["y", "grad_x", "grad_weights", "grad_bias"];
        for (int i = 0; i < names.Length; i++)
        {
            Accuracy.Check(names[i], ours[i], exact[i], torch.Select(t => t[i]));
        }
    }

    [Test]
    public void GradientsAreCentralDifferences()
    {
        // y = ½ Σ g ∘ y is linear in each input while no ReLU switches; without ReLU the difference quotient is exact.
        Draw draw = Draw.Fresh();
        Problem problem = Problem.Make(draw, 7, 9, 5, Activation.None, hasBias: true);
        float[][] at = problem.Run(Device);
        foreach (int which in new[] { 0, 1, 2 })
        {
            float[] matrix = which == 0 ? problem.X : which == 1 ? problem.Weights : problem.Bias!;
            float[] direction = draw.Normals(matrix.Length);
            double slope = 0;
            foreach (int sign in new[] { 1, -1 })
            {
                float[] moved = matrix.Zip(direction, (x, v) => x + (sign * .5f * v)).ToArray();
                Problem there = which == 0 ? problem with { X = moved }
                    : which == 1 ? problem with { Weights = moved } : problem with { Bias = moved };
                slope += sign * there.Run(Device)[0].Zip(problem.GradY, (y, g) => (double)y * g).Sum();
            }

            Assert.That(slope, Is.EqualTo(at[which + 1].Zip(direction, (g, v) => (double)g * v).Sum()).Within(1e-3));
        }
    }

    [Test]
    public void GradientsMayBeLeftOutAndAreOverwritten()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 31, 17, 13, Activation.Relu, hasBias: true);
        float[][] all = problem.Run(Device);
        for (int which = 1; which < 4; which++)
        {
            Assert.That(Bits.Of(problem.Run(Device, which)[which]), Is.EqualTo(Bits.Of(all[which])), $"gradient {which} alone");
        }
    }

    [Test]
    public void NoRowsGiveNoGradient()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 0, 4, 3, Activation.Relu, hasBias: true);
        float[][] result = problem.Run(Device);
        Assert.That(result[2], Is.All.EqualTo(0));
        Assert.That(result[3], Is.All.EqualTo(0));
    }

    [Test]
    public void SameBitsForAnyThreadCount()
    {
        Problem problem = Problem.Make(Draw.Fresh(), 1031, 130, 70, Activation.Relu, hasBias: true);
        SameForAnyThreadCount(device => problem.Run(device));
    }

    [Test]
    public void BadArgumentsAreNamed()
    {
        using DeviceBuffer<float> big = Device.Allocate<float>(64);
        using DeviceBuffer<float> small = Device.Allocate<float>(3);
        Refused("inputs", () => Linear.Forward(Device, 2, 0, 2, big, big, null, Activation.None, big));
        Refused("outputs", () => Linear.Forward(Device, 2, 2, 0, big, big, null, Activation.None, big));
        Refused("n", () => Linear.Forward(Device, -1, 2, 2, big, big, null, Activation.None, big));
        Refused("activation", () => Linear.Forward(Device, 2, 2, 2, big, big, null, (Activation)9, big));
        Refused("x", () => Linear.Forward(Device, 2, 2, 2, small, big, null, Activation.None, big));
        Refused("weights", () => Linear.Forward(Device, 2, 2, 2, big, small, null, Activation.None, big));
        Refused("bias", () => Linear.Forward(Device, 2, 2, 4, big, big, small, Activation.None, big));
        Refused("y", () => Linear.Forward(Device, 2, 2, 2, big, big, null, Activation.None, small));
        void Back(DeviceBuffer<float> y, DeviceBuffer<float> gradY, DeviceBuffer<float> gx, DeviceBuffer<float> gw, DeviceBuffer<float> gb) =>
            Linear.Backward(Device, 2, 4, 4, big, big, Activation.Relu, y, gradY, gx, gw, gb);
        Refused("y", () => Back(small, big, big, big, big));
        Refused("gradY", () => Back(big, small, big, big, big));
        Refused("gradX", () => Back(big, big, small, big, big));
        Refused("gradWeights", () => Back(big, big, big, small, big));
        Refused("gradBias", () => Back(big, big, big, big, small));
        unsafe
        {
            Refused("x", () => Linear.Forward(Device, 2, 2, 2, null, big.Pointer, null, Activation.None, big.Pointer));
            Refused("in", () => Linear.Forward(Device, 2, 0, 2, big.Pointer, big.Pointer, null, Activation.None, big.Pointer));
            Refused("grad_y", () => Linear.Backward(
                Device, 2, 2, 2, big.Pointer, big.Pointer, Activation.None, big.Pointer, null, null, null, null));
        }
    }

    private sealed record Problem(
        int N, int Inputs, int Outputs, Activation Activation, float[] X, float[] Weights, float[]? Bias, float[] GradY)
    {
        public static Problem Make(Draw draw, int n, int inputs, int outputs, Activation activation, bool hasBias) => new(
            n,
            inputs,
            outputs,
            activation,
            draw.Normals(n * inputs),
            draw.Normals(outputs * inputs, 1 / MathF.Sqrt(inputs)),
            hasBias ? draw.Normals(outputs) : null,
            draw.Normals(n * outputs));

        /// <summary>y and the gradients of x, weights and bias.</summary>
        public float[][] Run(Device device, int only = -1)
        {
            using DeviceBuffer<float> x = device.Upload(X);
            using DeviceBuffer<float> weights = device.Upload(Weights);
            using DeviceBuffer<float>? bias = Bias == null ? null : device.Upload(Bias);
            using DeviceBuffer<float> gradY = device.Upload(GradY);
            using DeviceBuffer<float> y = device.Upload(Garbage(GradY.Length));
            using DeviceBuffer<float> gradX = device.Upload(Garbage(X.Length));
            using DeviceBuffer<float> gradWeights = device.Upload(Garbage(Weights.Length));
            using DeviceBuffer<float> gradBias = device.Upload(Garbage(Outputs));
            Linear.Forward(device, N, Inputs, Outputs, x, weights, bias, Activation, y);
            Linear.Backward(
                device,
                N,
                Inputs,
                Outputs,
                x,
                weights,
                Activation,
                y,
                gradY,
                only is -1 or 1 ? gradX : null,
                only is -1 or 2 ? gradWeights : null,
                only is -1 or 3 ? gradBias : null);
            return [y.ToArray(), gradX.ToArray(), gradWeights.ToArray(), gradBias.ToArray()];
        }

        public double[][] Torch(ScalarType type, int[]? rows = null, int[]? columns = null, int[]? outputs = null)
        {
            using IDisposable scope = Ops.Torch.Scope();
            Tensor x = Ops.Torch.Leaf(X, type, N, Inputs);
            Tensor weights = Ops.Torch.Leaf(Weights, type, Outputs, Inputs);
            Tensor bias = Ops.Torch.Leaf(Bias ?? new float[Outputs], type, Outputs);

            // Everything in another order, and y back in its own at the end.
            Tensor ordered = Ops.Torch.Reordered(Ops.Torch.Reordered(x, columns).t(), rows).t();
            Tensor orderedWeights = Ops.Torch.Reordered(Ops.Torch.Reordered(weights, columns).t(), outputs).t();
            Tensor y = ordered.mm(orderedWeights.t()) + Ops.Torch.Reordered(bias.unsqueeze(0), outputs);
            y = Activation == Activation.Relu ? y.relu() : y;
            y = Ops.Torch.Reordered(Ops.Torch.Reordered(y, Inverse(outputs)).t(), Inverse(rows)).t();
            (y * Ops.Torch.Of(GradY, type, N, Outputs)).sum().backward();
            return [Ops.Torch.Values(y), Ops.Torch.Gradient(x), Ops.Torch.Gradient(weights), Ops.Torch.Gradient(bias)];
        }

        private static int[]? Inverse(int[]? order)
        {
            if (order == null)
            {
                return null;
            }

            var inverse = new int[order.Length];
            for (int i = 0; i < order.Length; i++)
            {
                inverse[order[i]] = i;
            }

            return inverse;
        }

        private static float[] Garbage(int count) => Enumerable.Repeat(float.NaN, count).ToArray();
    }
}
