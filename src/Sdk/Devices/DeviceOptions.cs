namespace Twintail;

/// <summary>Kind of a device.</summary>
public enum DeviceKind
{
    /// <summary>The processor.</summary>
    Cpu = 0,

    /// <summary>An NVIDIA GPU.</summary>
    Cuda = 1,
}

/// <summary>Instruction set of the CPU backend.</summary>
public enum CpuIsa
{
    /// <summary>The best that the machine and the build have; the environment variable TWINTAIL_ISA (portable, avx2, avx512) overrides it.</summary>
    Best = 0,

    /// <summary>No assumptions beyond the platform's baseline.</summary>
    Portable = 1,

    /// <summary>AVX2 with FMA.</summary>
    Avx2 = 2,

    /// <summary>AVX-512.</summary>
    Avx512 = 3,
}

/// <summary>How <see cref="Device.Auto"/> is to choose and set up a device.</summary>
public sealed class DeviceOptions
{
    /// <summary>CPU: worker threads including the caller; 0 = all cores of the process.</summary>
    public int Threads { get; set; }

    /// <summary>CPU: instruction set.</summary>
    public CpuIsa Isa { get; set; }

    /// <summary>CUDA: ordinal of the GPU.</summary>
    public int CudaIndex { get; set; }

    /// <summary>CUDA: an adopted cudaStream_t, or zero for an own stream.</summary>
    public IntPtr CudaStream { get; set; }

    /// <summary>Receives one line that says which device was taken and why.</summary>
    public Action<string>? Log { get; set; }
}

/// <summary>What a device is and what it holds at the moment.</summary>
public sealed class DeviceInfo
{
    internal DeviceInfo(
        DeviceKind kind, int index, string name, int threads, CpuIsa isa, bool bfloat16, long live, long workspace, long reserved, GraphInfo graphs)
    {
        Kind = kind;
        Index = index;
        Name = name;
        Threads = threads;
        Isa = isa;
        HasBfloat16 = bfloat16;
        LiveBytes = live;
        WorkspaceBytes = workspace;
        ReservedBytes = reserved;
        Graphs = graphs;
    }

    /// <summary>CPU or CUDA.</summary>
    public DeviceKind Kind { get; }

    /// <summary>CUDA ordinal; 0 for the CPU.</summary>
    public int Index { get; }

    /// <summary>The processor's or the GPU's name.</summary>
    public string Name { get; }

    /// <summary>Worker threads of the CPU backend, the caller included.</summary>
    public int Threads { get; }

    /// <summary>Instruction set in use; <see cref="CpuIsa.Best"/> on CUDA.</summary>
    public CpuIsa Isa { get; }

    /// <summary>Whether bfloat16 products are accelerated here.</summary>
    public bool HasBfloat16 { get; }

    /// <summary>Bytes held by buffers of this device.</summary>
    public long LiveBytes { get; }

    /// <summary>Bytes that the device keeps for its own temporary needs; see <see cref="Device.Trim"/>.</summary>
    public long WorkspaceBytes { get; }

    /// <summary>Bytes held on the device in all: live ones, the workspace, and what was freed and is kept for the next; see <see cref="Device.Trim"/>.</summary>
    public long ReservedBytes { get; }

    /// <summary>What became of sections of calls.</summary>
    public GraphInfo Graphs { get; }

    /// <summary>For example "CPU Intel Xeon, 2 threads, Avx512".</summary>
    public override string ToString() => Kind == DeviceKind.Cpu
        ? $"CPU {Name}, {Threads} threads, {Isa}"
        : $"CUDA device {Index} ({Name})";
}

/// <summary>What was found when a backend was looked for.</summary>
public sealed class BackendReport
{
    internal BackendReport(DeviceKind kind, bool available, bool confirmed, int devices, string path, string reason)
    {
        Kind = kind;
        IsAvailable = available;
        IsConfirmed = confirmed;
        DeviceCount = devices;
        Path = path;
        Reason = reason;
    }

    /// <summary>Which backend.</summary>
    public DeviceKind Kind { get; }

    /// <summary>Whether a device can be opened.</summary>
    public bool IsAvailable { get; }

    /// <summary>Whether a real device has run the backend's tests. <see cref="Device.Auto"/> takes no other.</summary>
    public bool IsConfirmed { get; }

    /// <summary>Number of devices.</summary>
    public int DeviceCount { get; }

    /// <summary>File of the backend's plugin that was tried last; "" where it is built in.</summary>
    public string Path { get; }

    /// <summary>One line: why it is or is not available, with everything that was tried.</summary>
    public string Reason { get; }
}
