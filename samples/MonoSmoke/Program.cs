using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Samples.MonoSmoke;

/// <summary>Loads the native library, computes a loss with its gradients and gathers embeddings, and checks what comes out.</summary>
internal static class Program
{
    private static int Main()
    {
        try
        {
            Run();
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error);
            return 1;
        }

        Console.WriteLine("ok");
        return 0;
    }

    private static void Run()
    {
        Console.WriteLine($"runtime {Environment.Version}, library {TwintailLibrary.Version}");
        using (Device device = Device.Auto(new DeviceOptions { Threads = 2, Log = Console.WriteLine }))
        {
            Loss(device);
            Gather(device);
            Errors(device);
        }

        Expect("live bytes", Device.LiveBytes, 0);
    }

    private static void Loss(Device device)
    {
        // Cosines 1 on the diagonal and 0 beside it, τ = 1, q = (1/2, 1/4): loss_1 = ln(1 + 2/e), loss_2 = ln(1 + 1/(2e)).
        SampledSoftmaxResult result = SampledSoftmax.Compute(
            device,
            2,
            new float[] { 3, 0, 0, 5 },
            new[] { .5f, 0, 0, 2 },
            temperature: 1,
            logQ: new[] { (float)Math.Log(.5), (float)Math.Log(.25) });
        Expect("loss of row 1", result.Loss[0], Math.Log(1 + (2 / Math.E)));
        Expect("loss of row 2", result.Loss[1], Math.Log(1 + (1 / (2 * Math.E))));
        Expect("gradient of query 1", result.GradQueries[1], 4 / ((2 * Math.E) + 4) / 3 / 2);
    }

    private static void Gather(Device device)
    {
        // Two items with the tags {1, 2} and {}: the mean of two vectors, and the default's vector.
        var tags = new FeatureColumn("tags", new[] { "", "beauty", "photo" }, new[] { 1, 2 }, new long[] { 0, 2, 2 });
        using var table = new DeviceFeatureTable(device, 2, new[] { new FeatureBinding(tags, 0) });
        using var embedding = new EmbeddingTable(device, 3, 2, Optimizer.Sgd(1));
        embedding.Weights.CopyFrom(new float[] { 7, 8, 1, 2, 3, 6 });
        using DeviceBuffer<int> rows = device.Upload(new[] { 0, 1 });
        using DeviceBuffer<float> vectors = device.Allocate<float>(4);
        var view = new GatherView(rows, vectors);
        EmbeddingGather.Forward(device, table, new[] { embedding }, view);
        float[] gathered = vectors.ToArray();
        double[] expected = { 2, 4, 7, 8 };
        for (int i = 0; i < expected.Length; i++)
        {
            Expect($"gathered[{i}]", gathered[i], expected[i]);
        }

        // The gradient (2, 4) of the first row goes in halves to its two tags.
        EmbeddingGather.Update(device, Optimizer.Sgd(1), 1, table, new[] { embedding }, view);
        float[] weights = embedding.Weights.ToArray();
        Expect("updated tag 1", weights[2], 1 - 1);
        Expect("updated tag 2", weights[5], 6 - 2);
        var dropout = new ViewAugmentation(Transforms.RandomMask, 1, 5) { MaskRate = 1 };
        AugmentedValues kept = EmbeddingGather.Preview(device, table, new GatherView(rows, null) { Augmentation = dropout, View = 1 }, 0);
        Expect("masked tags", kept.Values.Length == 2 && kept.Values[0] == 0 ? 1 : 0, 1);
    }

    private static void Errors(Device device)
    {
        try
        {
            SampledSoftmax.Compute(device, 2, new float[] { 1, 0 }, new float[] { 1, 0 }, 1, positives: new[] { 4 });
        }
        catch (BadArgumentException error)
        {
            Console.WriteLine($"refused as it should be: {error.Message}");
            Expect("named argument", error.Argument == "positives[0]" ? 1 : 0, 1);
            return;
        }

        throw new InvalidOperationException("a wrong index was accepted");
    }

    private static void Expect(string what, double got, double expected)
    {
        if (!(Math.Abs(got - expected) < 1e-6))
        {
            throw new InvalidOperationException($"{what}: expected {expected}, got {got}");
        }

        Console.WriteLine($"{what}: {got}");
    }
}
