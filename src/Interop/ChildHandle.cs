using System.Runtime.InteropServices;

namespace Twintail.Interop;

/// <summary>Something native that belongs to a context and keeps it alive.</summary>
public abstract class ChildHandle : SafeHandle
{
    private readonly bool _isTable;
    private bool _disposedByOwner;

    private protected ChildHandle(ContextHandle parent, bool isTable)
        : base(IntPtr.Zero, ownsHandle: true)
    {
        _isTable = isTable;
        Parent = parent;
        bool added = false;
        parent.DangerousAddRef(ref added);
    }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == IntPtr.Zero;

    /// <summary>The context.</summary>
    public ContextHandle Parent { get; }

    /// <summary>Gives the parent's reference back when the native object could not be made after all.</summary>
    private protected void Abandon()
    {
        SetHandleAsInvalid();
        Parent.DangerousRelease();
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _disposedByOwner = disposing;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        try
        {
            var self = new ContextHandle.Orphan(handle, _isTable);
            if (_disposedByOwner)
            {
                return Parent.Free(self) == tt_status.TT_OK;
            }

            Parent.Adopt(self);
            return true;
        }
        catch (Exception)
        {
            return false; // never throw on the finalizer thread
        }
        finally
        {
            Parent.DangerousRelease();
        }
    }
}

/// <summary>Memory on a context's device.</summary>
public sealed unsafe class MemoryHandle : ChildHandle
{
    private MemoryHandle(ContextHandle parent)
        : base(parent, isTable: false)
    {
    }

    /// <summary>The memory; null for 0 bytes or after disposal.</summary>
    public void* Pointer => IsClosed ? null : (void*)handle;

    /// <summary>Takes <paramref name="bytes"/> bytes of zeroed memory.</summary>
    /// <exception cref="DeviceOutOfMemoryException">The device has less.</exception>
    /// <exception cref="BadArgumentException">bytes is negative.</exception>
    public static MemoryHandle Allocate(ContextHandle parent, long bytes)
    {
        using ContextLease lease = parent.Enter();
        var result = new MemoryHandle(parent);
        void* pointer = null;
        tt_status status = NativeMethods.tt_alloc(lease.Pointer, bytes, &pointer);
        if (status != tt_status.TT_OK)
        {
            Exception error = Status.ToException(status);
            result.Abandon();
            throw error;
        }

        if (pointer == null)
        {
            result.Abandon(); // nothing to free
            return result;
        }

        result.SetHandle((IntPtr)pointer);
        return result;
    }
}

/// <summary>A feature table; the memory that its columns point to must outlive it.</summary>
public sealed unsafe class FeatureTableHandle : ChildHandle
{
    private FeatureTableHandle(ContextHandle parent)
        : base(parent, isTable: true)
    {
    }

    /// <summary>The table; null after disposal.</summary>
    public tt_feature_table* Pointer => IsClosed ? null : (tt_feature_table*)handle;

    /// <summary>Creates a table and checks all its offsets and values once.</summary>
    /// <param name="parent">The context on whose device the columns lie.</param>
    /// <param name="options">struct_size is filled in here.</param>
    /// <exception cref="BadArgumentException">An offset or value id is out of range.</exception>
    public static FeatureTableHandle Create(ContextHandle parent, tt_feature_table_options options)
    {
        using ContextLease lease = parent.Enter();
        options.struct_size = sizeof(tt_feature_table_options);
        var result = new FeatureTableHandle(parent);
        tt_feature_table* table = null;
        tt_status status = NativeMethods.tt_feature_table_create(lease.Pointer, &options, &table);
        if (status != tt_status.TT_OK)
        {
            Exception error = Status.ToException(status);
            result.Abandon();
            throw error;
        }

        result.SetHandle((IntPtr)table);
        return result;
    }
}
