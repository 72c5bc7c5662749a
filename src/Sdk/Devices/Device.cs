using Twintail.Interop;

namespace Twintail;

/// <summary>
/// A place to compute: the CPU or one GPU, with its stream, threads and temporary memory.
/// Calls are ordered; use one device from one thread at a time. Several devices, also several on the CPU, are independent.
/// </summary>
public sealed unsafe class Device : IDisposable
{
    private Device(ContextHandle handle, string reason)
    {
        Handle = handle;
        DeviceInfo info = ReadInfo(handle);
        Kind = info.Kind;
        Reason = reason.Length > 0 ? reason : info.ToString();
    }

    /// <summary>CPU or CUDA.</summary>
    public DeviceKind Kind { get; }

    /// <summary>One line: which device this is and why it was taken.</summary>
    public string Reason { get; }

    /// <summary>The native context, for calls through <see cref="NativeMethods"/>.</summary>
    public ContextHandle Handle { get; }

    /// <summary>What the device is and holds now.</summary>
    /// <exception cref="ObjectDisposedException">The device has been disposed.</exception>
    public DeviceInfo Info => ReadInfo(Handle);

    /// <summary>
    /// Bytes that can still be taken: of a GPU's memory, or on the CPU of the machine's and of the process's limit (cgroup); -1 where
    /// the system does not say.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The device has been disposed.</exception>
    public long FreeBytes
    {
        get
        {
            // More than any device has is refused at once, and the refusal tells what there is.
            const long TooMuch = 1L << 50;
            try
            {
                MemoryHandle.Allocate(Handle, TooMuch).Dispose();
                return TooMuch;
            }
            catch (DeviceOutOfMemoryException refusal)
            {
                return refusal.FreeBytes;
            }
        }
    }

    /// <summary>
    /// Bytes of native memory held by all devices, buffers and tables of the process; 0 when everything has been disposed.
    /// </summary>
    public static long LiveBytes
    {
        get
        {
            TwintailLibrary.EnsureLoaded();
            return NativeMethods.tt_live_bytes();
        }
    }

    /// <summary>Instruction sets of the CPU backend that this machine can run, best first.</summary>
    public static IReadOnlyList<CpuIsa> AvailableIsas
    {
        get
        {
            TwintailLibrary.EnsureLoaded();
            uint set = NativeMethods.tt_cpu_isa_available();
            var result = new List<CpuIsa>();
            for (CpuIsa isa = CpuIsa.Avx512; isa >= CpuIsa.Portable; isa--)
            {
                if ((set >> (int)isa & 1) != 0)
                {
                    result.Add(isa);
                }
            }

            return result;
        }
    }

    /// <summary>
    /// The GPU where there is one and its backend is confirmed, otherwise the CPU. Says which and why in one line, to <see cref="DeviceOptions.Log"/>
    /// and in <see cref="Reason"/>.
    /// </summary>
    /// <exception cref="NativeLoadException">The native library cannot be loaded.</exception>
    public static Device Auto(DeviceOptions? options = null)
    {
        options ??= new DeviceOptions();
        BackendReport report = Probe(DeviceKind.Cuda);
        string why = report.Reason;
        Device? device = null;
        if (report.IsAvailable && !report.IsConfirmed)
        {
            why = $"no GPU has run its backend's tests yet, so it has to be asked for ({report.Reason})";
        }
        else if (report.IsAvailable)
        {
            try
            {
                device = Open(CudaOptions(options.CudaIndex, options.CudaStream), "");
            }
            catch (TwintailException error)
            {
                why = error.Message;
            }
        }

        if (device == null)
        {
            device = Cpu(options.Threads, options.Isa);
            string reason = $"{device.Info}, because CUDA is not available: {why}";
            device = new Device(device.Handle, reason.Replace('\n', ' '));
        }

        options.Log?.Invoke(device.Reason);
        return device;
    }

    /// <summary>The CPU.</summary>
    /// <param name="threads">Worker threads including the caller; 0 = all cores of the process. Results do not depend on it.</param>
    /// <param name="isa">Instruction set.</param>
    /// <exception cref="UnsupportedException">The machine lacks the instruction set.</exception>
    /// <exception cref="BadArgumentException">A negative number of threads.</exception>
    /// <exception cref="NativeLoadException">The native library cannot be loaded.</exception>
    public static Device Cpu(int threads = 0, CpuIsa isa = CpuIsa.Best)
    {
        tt_context_options options = default;
        options.device = (int)tt_device.TT_DEVICE_CPU;
        options.threads = threads;
        options.isa = (int)isa;
        return Open(options, "");
    }

    /// <summary>A GPU; never anything else.</summary>
    /// <param name="index">CUDA ordinal.</param>
    /// <param name="stream">An adopted cudaStream_t, or zero for an own stream.</param>
    /// <exception cref="NoDeviceException">There is no such GPU; lists everything that was tried.</exception>
    /// <exception cref="NativeLoadException">The native library cannot be loaded.</exception>
    public static Device Cuda(int index = 0, IntPtr stream = default) => Open(CudaOptions(index, stream), "");

    /// <summary>Looks for a backend and tells what was found. Does not fail for lack of a device.</summary>
    /// <exception cref="NativeLoadException">The native library itself cannot be loaded.</exception>
    public static BackendReport Probe(DeviceKind kind)
    {
        TwintailLibrary.EnsureLoaded();
        tt_backend_report report = default;
        report.struct_size = sizeof(tt_backend_report);
        Status.Check(NativeMethods.tt_backend_probe((int)kind, &report));
        return new BackendReport(
            kind, report.available != 0, report.confirmed != 0, report.device_count, Utf8.Read(report.path, 512), Utf8.Read(report.reason, 1024));
    }

    /// <summary>Takes zeroed memory for <paramref name="length"/> elements.</summary>
    /// <exception cref="DeviceOutOfMemoryException">The device has less.</exception>
    public DeviceBuffer<T> Allocate<T>(long length)
        where T : unmanaged => new(this, length);

    /// <summary>Takes memory and fills it with a copy of <paramref name="values"/>.</summary>
    /// <exception cref="DeviceOutOfMemoryException">The device has less.</exception>
    public DeviceBuffer<T> Upload<T>(T[] values)
        where T : unmanaged => Upload((ReadOnlySpan<T>)(values ?? throw new ArgumentNullException(nameof(values))));

    /// <summary>Takes memory and fills it with a copy of <paramref name="values"/>.</summary>
    /// <exception cref="DeviceOutOfMemoryException">The device has less.</exception>
    public DeviceBuffer<T> Upload<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        var buffer = new DeviceBuffer<T>(this, values.Length);
        try
        {
            buffer.CopyFrom(values);
            return buffer;
        }
        catch
        {
            buffer.Dispose();
            throw;
        }
    }

    /// <summary>Waits until all work of the device is done. (Copies to the host wait by themselves.)</summary>
    public void Synchronize()
    {
        using ContextLease lease = Handle.Enter();
        Status.Check(NativeMethods.tt_context_synchronize(lease.Pointer));
    }

    /// <summary>
    /// Calls from here to the section's end reach a GPU as one CUDA graph, which leaves smaller gaps between its kernels; on the CPU they
    /// run at once. Results are the same bits. For work that is done again and again with other arguments: a device's first section runs call
    /// by call, and what waits for the device or takes memory cuts a section short (tt_graph_begin has the details).
    /// </summary>
    /// <returns>To be disposed, in the same method at best; one at a time.</returns>
    /// <exception cref="BadArgumentException">A section has not ended.</exception>
    public GraphSection BeginGraph()
    {
        using ContextLease lease = Handle.Enter();
        Status.Check(NativeMethods.tt_graph_begin(lease.Pointer));
        return new GraphSection(Handle);
    }

    /// <summary>Gives the device's temporary memory back to the system; the next call takes what it needs again.</summary>
    public void Trim()
    {
        using ContextLease lease = Handle.Enter();
        Status.Check(NativeMethods.tt_context_trim(lease.Pointer));
    }

    /// <summary>
    /// Gives the device up. Buffers and tables made with it cannot be used any more, but may be disposed in any order: the
    /// native context goes with the last of them.
    /// </summary>
    public void Dispose() => Handle.Dispose();

    /// <inheritdoc/>
    public override string ToString() => Reason;

    private static Device Open(tt_context_options options, string reason)
    {
        ContextHandle handle = ContextHandle.Create(options);
        try
        {
            return new Device(handle, reason);
        }
        catch
        {
            handle.Dispose();
            throw;
        }
    }

    private static tt_context_options CudaOptions(int index, IntPtr stream)
    {
        tt_context_options options = default;
        options.device = (int)tt_device.TT_DEVICE_CUDA;
        options.device_index = index;
        options.stream = (void*)stream;
        return options;
    }

    private static DeviceInfo ReadInfo(ContextHandle handle)
    {
        using ContextLease lease = handle.Enter();
        tt_context_info info = default;
        info.struct_size = sizeof(tt_context_info);
        Status.Check(NativeMethods.tt_context_get_info(lease.Pointer, &info));
        return new DeviceInfo(
            (DeviceKind)info.device,
            info.device_index,
            Utf8.Read(info.name, 128),
            info.threads,
            (CpuIsa)info.isa,
            info.bfloat16 != 0,
            info.live_bytes,
            info.workspace_bytes,
            info.reserved_bytes,
            new GraphInfo(info.graphs != 0, info.graph_nodes, info.graph_launches, info.graph_builds, info.graph_cuts));
    }
}
