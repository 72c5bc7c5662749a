namespace Twintail.Bench.Running;

/// <summary>
/// Environment of a measuring process. libtorch's defaults are not its best: every large tensor is mapped and faulted in
/// anew, and idle OpenMP threads spin, which helps on an idle machine and ruins a busy one. So all are tried, and both the
/// default's and the best figure are given.
/// </summary>
/// <param name="Name">In the records.</param>
/// <param name="Variables">Set for the process.</param>
internal sealed record PeerSettings(string Name, IReadOnlyDictionary<string, string> Variables)
{
    // Freed memory stays with the process, on huge pages where the kernel gives them.
    private const string KeepMemory =
        "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184";

    /// <summary>As TorchSharp comes.</summary>
    public static PeerSettings Default { get; } = new("default", new Dictionary<string, string>());

    /// <summary>glibc's allocator keeps its memory.</summary>
    public static PeerSettings Allocator { get; } = new("allocator", new Dictionary<string, string> { ["GLIBC_TUNABLES"] = KeepMemory });

    /// <summary>The same, and OpenMP threads sleep while they wait.</summary>
    public static PeerSettings AllocatorPassive { get; } = new("allocator+passive", new Dictionary<string, string>
    {
        ["GLIBC_TUNABLES"] = KeepMemory,
        ["OMP_WAIT_POLICY"] = "PASSIVE",
        ["GOMP_SPINCOUNT"] = "0",
        ["KMP_BLOCKTIME"] = "0",
    });

    public static IReadOnlyList<PeerSettings> All { get; } = [Default, Allocator, AllocatorPassive];

    public static PeerSettings Named(string name) =>
        All.FirstOrDefault(settings => settings.Name == name)
        ?? throw new ArgumentException($"settings: expected one of {string.Join(", ", All.Select(s => s.Name))}, got '{name}'", nameof(name));
}
