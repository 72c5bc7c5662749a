using Twintail.Interop;

namespace Twintail;

/// <summary>The time from <see cref="Device.BeginGraph"/> on; its end launches the graph. The default value is no section.</summary>
public readonly unsafe ref struct GraphSection
{
    private readonly ContextHandle? _context;

    internal GraphSection(ContextHandle context) => _context = context;

    /// <summary>Ends the section, also after a call in it has failed.</summary>
    /// <exception cref="DeviceErrorException">The device failed.</exception>
    /// <exception cref="DeviceOutOfMemoryException">There is no memory for the graph; the section's calls have not run.</exception>
    /// <exception cref="InternalErrorException">The calls could not be recorded; they have not run.</exception>
    public void Dispose()
    {
        if (_context != null)
        {
            using ContextLease lease = _context.Enter();
            Status.Check(NativeMethods.tt_graph_end(lease.Pointer));
        }
    }
}

/// <summary>What became of a device's sections of calls; see <see cref="Device.BeginGraph"/>.</summary>
public sealed class GraphInfo
{
    internal GraphInfo(bool isSupported, int nodes, long launches, long builds, long cuts)
    {
        IsSupported = isSupported;
        Nodes = nodes;
        Launches = launches;
        Builds = builds;
        Cuts = cuts;
    }

    /// <summary>Whether sections become graphs; otherwise their calls run one by one.</summary>
    public bool IsSupported { get; }

    /// <summary>Kernels, copies and fills in the graph launched last.</summary>
    public int Nodes { get; }

    /// <summary>Graphs launched.</summary>
    public long Launches { get; }

    /// <summary>Of them, those that were built anew; the others are the one before with other arguments.</summary>
    public long Builds { get; }

    /// <summary>Of them, those launched before their section's end, for a call that no graph can hold.</summary>
    public long Cuts { get; }
}
