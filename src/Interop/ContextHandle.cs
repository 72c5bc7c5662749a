using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Twintail.Interop;

/// <summary>
/// Owns a tt_context. Handles made from it (<see cref="MemoryHandle"/>, <see cref="FeatureTableHandle"/>) hold a reference,
/// so that the context is destroyed after the last of them, whatever the order of disposal or finalization.
/// </summary>
public sealed unsafe class ContextHandle : SafeHandle
{
    // A context may be used by one thread at a time, so the finalizer thread must not free a forgotten child while another
    // thread computes: it leaves the child here, and the next call on the context frees it.
    private readonly ConcurrentQueue<Orphan> _orphans = new();

    private bool _isDisposed;

    private ContextHandle(tt_context* context)
        : base(IntPtr.Zero, ownsHandle: true) => SetHandle((IntPtr)context);

    /// <inheritdoc/>
    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>Creates a context.</summary>
    /// <param name="options">struct_size is filled in here.</param>
    /// <exception cref="NativeLoadException">The native library cannot be loaded.</exception>
    /// <exception cref="NoDeviceException">There is no such device.</exception>
    /// <exception cref="UnsupportedException">The machine lacks the instruction set asked for.</exception>
    /// <exception cref="DeviceOutOfMemoryException">No memory for the context.</exception>
    public static ContextHandle Create(tt_context_options options)
    {
        TwintailLibrary.EnsureLoaded();
        options.struct_size = sizeof(tt_context_options);
        tt_context* context = null;
        Status.Check(NativeMethods.tt_context_create(&options, &context));
        return new ContextHandle(context);
    }

    /// <summary>Keeps the context alive while native code uses it; dispose the lease after the call.</summary>
    /// <exception cref="ObjectDisposedException">The context has been disposed.</exception>
    public ContextLease Enter()
    {
        // Children may keep the native context alive for longer, but the owner has given it up.
        if (_isDisposed)
        {
            throw new ObjectDisposedException(nameof(ContextHandle));
        }

        bool added = false;
        DangerousAddRef(ref added);
        FreeOrphans();
        return new ContextLease(this, (tt_context*)handle);
    }

    /// <summary>Frees what finalizers have left behind. Only from the thread that uses the context.</summary>
    internal void FreeOrphans()
    {
        while (_orphans.TryDequeue(out Orphan orphan))
        {
            Free(orphan);
        }
    }

    /// <summary>Frees a child now; the caller holds a reference to this handle and is the thread that uses the context.</summary>
    internal tt_status Free(Orphan orphan) => orphan.IsTable
        ? NativeMethods.tt_feature_table_destroy((tt_feature_table*)orphan.Pointer)
        : NativeMethods.tt_free((tt_context*)handle, (void*)orphan.Pointer);

    /// <summary>Leaves a child for the next call on this context; from any thread.</summary>
    internal void Adopt(Orphan orphan) => _orphans.Enqueue(orphan);

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        // Nobody else can reach the context any more: all children and leases have given their references back.
        try
        {
            FreeOrphans();
            return NativeMethods.tt_context_destroy((tt_context*)handle) == tt_status.TT_OK;
        }
        catch (Exception)
        {
            return false; // never throw on the finalizer thread: that would end the process
        }
    }

    /// <summary>A child whose owner is gone.</summary>
    internal readonly struct Orphan
    {
        public Orphan(IntPtr pointer, bool isTable)
        {
            Pointer = pointer;
            IsTable = isTable;
        }

        public IntPtr Pointer { get; }

        public bool IsTable { get; }
    }
}

/// <summary>A reference to a context for the time of a native call.</summary>
public readonly unsafe ref struct ContextLease
{
    private readonly ContextHandle _owner;

    internal ContextLease(ContextHandle owner, tt_context* pointer)
    {
        _owner = owner;
        Pointer = pointer;
    }

    /// <summary>The context.</summary>
    public tt_context* Pointer { get; }

    /// <summary>Gives the reference back.</summary>
    public void Dispose() => _owner.DangerousRelease();
}
