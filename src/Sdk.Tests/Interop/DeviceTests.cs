using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Tests.Interop;

internal sealed class DeviceTests
{
    [Test]
    public void CpuTellsWhatItIs()
    {
        using Device device = Device.Cpu(threads: 2);
        DeviceInfo info = device.Info;
        Assert.That(info.Kind, Is.EqualTo(DeviceKind.Cpu));
        Assert.That(info.Threads, Is.EqualTo(2));
        Assert.That(info.Name, Is.Not.Empty);
        Assert.That(Device.AvailableIsas, Does.Contain(info.Isa).And.Contain(CpuIsa.Portable));
        Assert.That(device.Reason, Does.Contain(info.Name).And.Contain("2 threads"));
    }

    [Test]
    public void EveryAvailableInstructionSetCanBeAskedFor([Values] CpuIsa isa)
    {
        if (isa == CpuIsa.Best || Device.AvailableIsas.Contains(isa))
        {
            using Device device = Device.Cpu(1, isa);
            Assert.That(isa == CpuIsa.Best || device.Info.Isa == isa);
        }
        else
        {
            UnsupportedException error = Assert.Throws<UnsupportedException>(() => Device.Cpu(1, isa))!;
            Assert.That(error.Message, Does.Contain(isa.ToString()).IgnoreCase);
        }
    }

    [Test]
    public void GraphSectionsRunAtOnceOnTheCpu()
    {
        using Device device = Device.Cpu(1);
        using DeviceBuffer<int> rows = device.Allocate<int>(4);
        var host = new int[4];
        using (GraphSection section = device.BeginGraph())
        {
            rows.CopyFrom([1, 2, 3, 4]);
            rows.CopyTo(host);
            Assert.That(host, Is.EqualTo(new[] { 1, 2, 3, 4 }));
            Assert.That(Assert.Throws<BadArgumentException>(() => device.BeginGraph().Dispose())!.Argument, Is.EqualTo("context"));
        }

        device.BeginGraph().Dispose();
        Assert.That(device.Info.Graphs.IsSupported, Is.False);
        Assert.That(device.Info.Graphs.Launches, Is.Zero);
        default(GraphSection).Dispose();
    }

    [Test]
    public void BadOptionsAreNamed()
    {
        Assert.That(Assert.Throws<BadArgumentException>(() => Device.Cpu(-1))!.Argument, Is.EqualTo("threads"));
        Assert.That(Assert.Throws<BadArgumentException>(() => Device.Cpu(1, (CpuIsa)9))!.Argument, Is.EqualTo("isa"));
        Assert.That(Assert.Throws<BadArgumentException>(() => Device.Cuda(-1))!.Argument, Is.EqualTo("device_index"));
    }

    [Test]
    public void AutoSaysWhichAndWhy()
    {
        var lines = new List<string>();
        using Device device = Device.Auto(new DeviceOptions { Threads = 1, Log = lines.Add });
        Assert.That(lines, Is.EqualTo(new[] { device.Reason }));
        Assert.That(device.Reason, Does.Not.Contain("\n"));
        BackendReport cuda = Device.Probe(DeviceKind.Cuda);
        Assert.That(cuda.Reason, Is.Not.Empty);
        if (!cuda.IsAvailable)
        {
            Assert.That(device.Kind, Is.EqualTo(DeviceKind.Cpu));
            Assert.That(device.Reason, Does.StartWith("CPU").And.Contain("because CUDA is not available: " + cuda.Reason));
        }
        else if (!cuda.IsConfirmed)
        {
            Assert.That(device.Kind, Is.EqualTo(DeviceKind.Cpu));
            Assert.That(device.Reason, Does.Contain("has to be asked for").And.Contain(cuda.Reason));
        }
        else
        {
            Assert.That(device.Kind, Is.EqualTo(DeviceKind.Cuda));
        }

        Assert.That(Device.Probe(DeviceKind.Cpu).IsConfirmed, Is.True);
    }

    [Test]
    public void AskingForAMissingGpuListsWhatWasTried()
    {
        int index = Device.Probe(DeviceKind.Cuda).DeviceCount;
        NoDeviceException error = Assert.Throws<NoDeviceException>(() => Device.Cuda(index))!;
        Assert.That(error.Attempts, Is.Not.Empty);
        Assert.That(error.Message, Does.Contain("CUDA"));
    }

    [Test]
    public void TooMuchMemoryIsATypedErrorAndTheDeviceStillWorks()
    {
        using Device device = Device.Cpu(1);
        const long asked = 1L << 50;
        DeviceOutOfMemoryException error = Assert.Throws<DeviceOutOfMemoryException>(() => device.Allocate<byte>(asked))!;
        Assert.That(error.AskedBytes, Is.EqualTo(asked));
        Assert.That(error.FreeBytes, Is.EqualTo(-1).Or.InRange(1L << 20, asked));
        Assert.That(device.Info.LiveBytes, Is.Zero);
        using DeviceBuffer<int> buffer = device.Upload(new[] { 1, 2, 3 });
        Assert.That(buffer.ToArray(), Is.EqualTo(new[] { 1, 2, 3 }));
        Assert.That(Assert.Throws<BadArgumentException>(() => device.Allocate<int>(-1))!.Argument, Is.EqualTo("length"));
        Assert.That(Assert.Throws<BadArgumentException>(() => device.Allocate<int>(long.MaxValue))!.Argument, Is.EqualTo("length"));
    }

    [Test]
    public unsafe void AStatusWithoutAReportIsAnInternalError()
    {
        uint value = 0;
        Status.Check(NativeMethods.tt_philox(&value, &value, &value)); // a success leaves the last report alone
        Assert.Throws<InternalErrorException>(() => Status.Check((tt_status)99));
        Assert.Throws<BadArgumentException>(() => Status.Check(NativeMethods.tt_philox(null, null, null)));
        Assert.Throws<InternalErrorException>(() => Status.Check(tt_status.TT_DEVICE_ERROR), "the last report speaks of something else");
    }

    [Test]
    public void TrimGivesTheWorkspaceBack()
    {
        using Device device = Device.Cpu(2);
        var random = new Random(1);
        float[] rows = [.. Enumerable.Range(0, 512 * 32).Select(_ => (float)random.NextDouble())];
        Contrastive.Compute(device, 32, rows, rows, .1f);
        Assert.That(device.Info.WorkspaceBytes, Is.Positive);
        Assert.That(device.Info.ReservedBytes, Is.EqualTo(device.Info.LiveBytes + device.Info.WorkspaceBytes));
        device.Trim();
        Assert.That(device.Info.WorkspaceBytes, Is.Zero);
        device.Synchronize();
        Contrastive.Compute(device, 32, rows, rows, .1f);
    }

    [Test]
    public void OpsAllocateNothingManaged()
    {
        using Device device = Device.Cpu(1);
        using DeviceBuffer<float> rows = device.Allocate<float>(64 * 16);
        using DeviceBuffer<double> total = device.Allocate<double>(1);
        using DeviceFeatureTable table = new(device, 2, [new FeatureBinding(new FeatureColumn("a", ["", "x"], [0, 1]), 0)]);
        using var embedding = new EmbeddingTable(device, 2, 16);
        using DeviceBuffer<int> indices = device.Upload(new[] { 1, 0, 1 });
        DeviceRandom.FillUniform(device, 1, 2, 3, -1, 1, rows);
        Invoke(device, rows, total, table, embedding, indices);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 100; i++)
        {
            Invoke(device, rows, total, table, embedding, indices);
        }

        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
        Assert.That(total.ToArray()[0], Is.Positive);
    }

    private static unsafe void Invoke(
        Device device, DeviceBuffer<float> rows, DeviceBuffer<double> total, DeviceFeatureTable table, EmbeddingTable embedding, DeviceBuffer<int> indices)
    {
        var augmentation = new tt_augmentation { transforms = (uint)Transforms.RandomMask, maskable = 1, mask_rate = .5f };
        tt_embedding native = embedding.ToNative();
        var view = new tt_gather_view
        {
            rows = indices.Pointer,
            vectors = rows.Pointer,
            n = indices.Length,
            ld = embedding.Dim,
            augmentation = &augmentation,
            view = 1,
        };
        EmbeddingGather.Forward(device, table, &native, 1, &view, 1);
        EmbeddingGather.Update(device, new tt_optimizer { learning_rate = .1f }, table, &native, 1, &view, 1);
        Contrastive.Invoke(device, new tt_contrastive_args
        {
            m = 64,
            d = 16,
            view1 = rows.Pointer,
            view2 = rows.Pointer,
            inverse_temperature = 5,
            scale = 1,
            total = total.Pointer,
        });
        Linear.Forward(device, 8, 16, 8, rows.Pointer, rows.Pointer + 128, null, Activation.Relu, rows.Pointer + 512);
        DenseUpdate.Invoke(device, new tt_optimizer { learning_rate = .1f }, rows.Pointer, rows.Pointer + 64, null, null, 64);
    }
}
