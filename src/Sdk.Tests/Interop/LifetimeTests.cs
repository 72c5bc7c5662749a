using System.Runtime.CompilerServices;
using Twintail.Features;
using Twintail.Interop;
using Twintail.Ops;

namespace Twintail.Tests.Interop;

/// <summary>Native bytes return to zero, whatever the order of disposal, and also when disposal is forgotten.</summary>
[NonParallelizable]
internal sealed class LifetimeTests
{
    private long _before;

    [SetUp]
    public void CollectWhatOtherTestsLeft()
    {
        Collect();
        _before = Device.LiveBytes;
    }

    [Test]
    public void DisposedBuffersAreFreedAtOnce()
    {
        using Device device = Device.Cpu(1);
        long idle = Device.LiveBytes;
        for (int round = 0; round < 20; round++)
        {
            using DeviceBuffer<float> buffer = device.Allocate<float>(100_000);
            Assert.That(device.Info.LiveBytes, Is.EqualTo(400_000));
            Assert.That(Device.LiveBytes, Is.EqualTo(idle + 400_000));
        }

        Assert.That(device.Info.LiveBytes, Is.Zero);
        Assert.That(Device.LiveBytes, Is.EqualTo(idle));
    }

    [Test]
    public void EverythingDisposedLeavesNothing()
    {
        using (Device device = Device.Cpu(2))
        using (DeviceFeatureTable table = Table(device))
        using (var embedding = new EmbeddingTable(device, 3, 4, Optimizer.Adam(.1f)))
        using (DeviceBuffer<int> rows = device.Upload(new[] { 0, 1 }))
        using (DeviceBuffer<float> vectors = device.Allocate<float>(8))
        {
            EmbeddingGather.Forward(device, table, [embedding], new GatherView(rows, vectors));
            foreach (SparseGradient gradient in EmbeddingGather.Backward(device, table, [embedding], new GatherView(rows, vectors)))
            {
                gradient.Dispose();
            }
        }

        Assert.That(Device.LiveBytes, Is.EqualTo(_before));
    }

    [Test]
    public void TheDeviceMayBeDisposedFirst()
    {
        Device device = Device.Cpu(1);
        DeviceBuffer<int> buffer = device.Upload(new[] { 1, 2, 3 });
        DeviceFeatureTable table = Table(device);
        device.Dispose();
        Assert.That(Device.LiveBytes, Is.GreaterThan(_before), "children keep the context alive");
        Assert.Throws<ObjectDisposedException>(() => buffer.ToArray());
        Assert.Throws<ObjectDisposedException>(() => device.Allocate<int>(1));
        Assert.Throws<ObjectDisposedException>(device.Synchronize);
        table.Dispose();
        buffer.Dispose();
        Assert.That(Device.LiveBytes, Is.EqualTo(_before));
        device.Dispose();
    }

    [Test]
    public unsafe void DisposedObjectsRefuseToWork()
    {
        using Device device = Device.Cpu(1);
        DeviceBuffer<int> buffer = device.Upload(new[] { 1, 2, 3 });
        DeviceFeatureTable table = Table(device);
        using DeviceBuffer<int> rows = device.Upload(new[] { 0 });
        buffer.Dispose();
        table.Dispose();
        buffer.Dispose(); // twice is fine
        table.Dispose();
        Assert.That(buffer.IsDisposed);
        Assert.Throws<ObjectDisposedException>(() => buffer.ToArray());
        Assert.Throws<ObjectDisposedException>(() => buffer.Clear());
        Assert.Throws<ObjectDisposedException>(() => { _ = (IntPtr)buffer.Pointer; });
        Assert.Throws<ObjectDisposedException>(() => EmbeddingGather.Preview(device, table, new GatherView(rows, null), 0));
        Assert.That(device.Info.LiveBytes, Is.EqualTo(4));
    }

    [Test]
    public void ForgottenObjectsAreFreedByTheCollector()
    {
        Forget();
        Collect();
        Assert.That(Device.LiveBytes, Is.EqualTo(_before));
    }

    [Test]
    public void ForgottenBuffersWaitForTheThreadOfTheirDevice()
    {
        using Device device = Device.Cpu(1);
        long idle = Device.LiveBytes;
        ForgetBuffers(device);
        Collect();

        // The finalizer thread must not call into a context that another thread may be using.
        Assert.That(Device.LiveBytes, Is.EqualTo(idle + 4000));
        device.Synchronize();
        Assert.That(Device.LiveBytes, Is.EqualTo(idle));
    }

    [Test]
    public void ForgottenBuffersWhileTheDeviceWorks()
    {
        // Finalizers and calls at the same time; a race would corrupt the heap or the count.
        using Device device = Device.Cpu(2);
        var random = new Random(1);
        float[] rows = [.. Enumerable.Range(0, 64 * 8).Select(_ => (float)random.NextDouble())];
        for (int round = 0; round < 200; round++)
        {
            ForgetBuffers(device);
            if (round % 10 == 0)
            {
                GC.Collect(0);
            }

            Contrastive.Compute(device, 8, rows, rows, .1f);
        }

        Collect();
        device.Synchronize();
        Assert.That(device.Info.LiveBytes, Is.Zero);
    }

    [Test]
    public void SharedColumnsLiveAsLongAsTheirLastTable()
    {
        using Device device = Device.Cpu(1);
        var column = new FeatureColumn("a", ["", "x", "y"], [1, 2, 0]);
        var first = new DeviceFeatureTable(device, 3, [new FeatureBinding(column, 0)]);
        long one = device.Info.LiveBytes;
        var second = new DeviceFeatureTable(device, 3, [new FeatureBinding(column, 0), new FeatureBinding(column, 0)], shared: first);
        Assert.That(device.Info.LiveBytes, Is.EqualTo(one), "nothing was uploaded again");
        first.Dispose();
        using DeviceBuffer<int> rows = device.Upload(new[] { 1 });
        Assert.That(EmbeddingGather.Preview(device, second, new GatherView(rows, null), 1).Values, Is.EqualTo(new[] { 2 }));
        second.Dispose();
        Assert.That(device.Info.LiveBytes, Is.EqualTo(4), "the rows only");
    }

    [Test]
    public void AFailedTableLeavesNothing()
    {
        using Device device = Device.Cpu(1);
        var column = new FeatureColumn("a", ["", "x"], [1, 1]);
        column.Values[1] = 5;
        Assert.Throws<BadArgumentException>(() => new DeviceFeatureTable(device, 2, [new FeatureBinding(column, 0)]));
        Assert.That(device.Info.LiveBytes, Is.Zero);
    }

    [Test]
    public void CopiesCheckTheirRanges()
    {
        using Device device = Device.Cpu(1);
        using DeviceBuffer<short> buffer = device.Upload(new short[] { 1, 2, 3, 4, 5 });
        buffer.CopyFrom([7, 8], 3);
        Assert.That(buffer.ToArray(), Is.EqualTo(new short[] { 1, 2, 3, 7, 8 }));
        var two = new short[2];
        buffer.CopyTo(two, 1);
        Assert.That(two, Is.EqualTo(new short[] { 2, 3 }));
        buffer.Clear(1, 2);
        Assert.That(buffer.ToArray(), Is.EqualTo(new short[] { 1, 0, 0, 7, 8 }));
        using DeviceBuffer<short> other = device.Allocate<short>(3);
        other.CopyFrom(buffer, 2, 0, 3);
        Assert.That(other.ToArray(), Is.EqualTo(new short[] { 0, 7, 8 }));
        foreach (Action bad in new Action[]
        {
            () => buffer.CopyFrom([1, 2], 4), () => buffer.CopyFrom([1], -1), () => buffer.CopyTo(new short[6]),
            () => buffer.Clear(5, 1), () => buffer.Clear(0, -1), () => other.CopyFrom(buffer, 3, 0, 3), () => other.CopyFrom(buffer, 0, 1, 3),
        })
        {
            Assert.Throws<BadArgumentException>(() => bad());
        }

        using Device foreign = Device.Cpu(1);
        using DeviceBuffer<short> theirs = foreign.Allocate<short>(3);
        Assert.Throws<BadArgumentException>(() => theirs.CopyFrom(other, 0, 0, 3));
        using DeviceBuffer<short> none = device.Allocate<short>(0);
        Assert.That(none.ToArray(), Is.Empty);
        Assert.Throws<ArgumentNullException>(() => device.Upload((short[])null!));
    }

    [Test]
    public void ReleaseNeverThrows()
    {
        // A context whose pointer is wrong in the eyes of the library: what a defect elsewhere would leave behind.
        Device device = Device.Cpu(1);
        MemoryHandle memory = MemoryHandle.Allocate(device.Handle, 64);
        unsafe
        {
            using ContextLease lease = device.Handle.Enter();
            Status.Check(NativeMethods.tt_free(lease.Pointer, memory.Pointer)); // freed behind its back
        }

        Assert.DoesNotThrow(memory.Dispose);
        Assert.DoesNotThrow(device.Dispose);
        Assert.That(Device.LiveBytes, Is.EqualTo(_before));
    }

    private static DeviceFeatureTable Table(Device device) => new(
        device, 2, [new FeatureBinding(new FeatureColumn("a", ["", "x", "y"], [1, 2, 2], [0, 1, 3]), 0)]);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Forget()
    {
        Device device = Device.Cpu(1);
        device.Upload(new[] { 1, 2, 3 });
        Table(device);
        _ = new EmbeddingTable(device, 10, 4, Optimizer.Adam(.1f));
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void ForgetBuffers(Device device)
    {
        for (int i = 0; i < 10; i++)
        {
            device.Allocate<int>(100);
        }
    }

    private static void Collect()
    {
        for (int i = 0; i < 3; i++)
        {
            GC.Collect();
            GC.WaitForPendingFinalizers();
        }
    }
}
