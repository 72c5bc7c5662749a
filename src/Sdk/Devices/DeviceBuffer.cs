using System.Runtime.InteropServices;
using Twintail.Interop;

namespace Twintail;

/// <summary>
/// An array in a device's memory. It keeps the native context alive, so it may be disposed after its <see cref="Device"/>.
/// Forgotten buffers are freed some time after the garbage collector finds them, but it does not see how large they are:
/// dispose them.
/// </summary>
/// <typeparam name="T">Element: float, int, long, ...</typeparam>
public sealed unsafe class DeviceBuffer<T> : IDisposable
    where T : unmanaged
{
    private readonly MemoryHandle _memory;
    private bool _isDisposed;

    /// <summary>Takes zeroed memory for <paramref name="length"/> elements.</summary>
    /// <exception cref="DeviceOutOfMemoryException">The device has less.</exception>
    /// <exception cref="BadArgumentException">length is negative or the bytes do not fit into 63 bits.</exception>
    public DeviceBuffer(Device device, long length)
    {
        Device = device ?? throw new ArgumentNullException(nameof(device));
        if (length < 0 || length > long.MaxValue / sizeof(T))
        {
            throw new BadArgumentException(nameof(length), $"a number in [0, {long.MaxValue / sizeof(T)}]", length.ToString());
        }

        Length = length;
        _memory = MemoryHandle.Allocate(device.Handle, length * sizeof(T));
    }

    /// <summary>The device that the memory belongs to.</summary>
    public Device Device { get; }

    /// <summary>Number of elements.</summary>
    public long Length { get; }

    /// <summary>Number of bytes.</summary>
    public long Bytes => Length * sizeof(T);

    /// <summary>Whether <see cref="Dispose"/> has been called.</summary>
    public bool IsDisposed => _isDisposed;

    /// <summary>
    /// Where the elements are: an address of the device. It is valid while this object is; keep the object reachable
    /// (GC.KeepAlive) until native code is done with it.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The buffer has been disposed.</exception>
    public T* Pointer => _isDisposed ? throw new ObjectDisposedException(nameof(DeviceBuffer<T>)) : (T*)_memory.Pointer;

    /// <summary>Copies host values to elements [<paramref name="offset"/>, offset + values.Length).</summary>
    /// <exception cref="BadArgumentException">They do not fit.</exception>
    public void CopyFrom(ReadOnlySpan<T> values, long offset = 0)
    {
        CheckRange(offset, values.Length);
        fixed (T* host = &MemoryMarshal.GetReference(values))
        {
            Copy(Pointer + offset, host, values.Length, tt_copy.TT_HOST_TO_DEVICE);
        }
    }

    /// <summary>Copies host values to elements [<paramref name="offset"/>, offset + values.Length).</summary>
    /// <exception cref="BadArgumentException">They do not fit.</exception>
    public void CopyFrom(T[] values, long offset = 0) =>
        CopyFrom((ReadOnlySpan<T>)(values ?? throw new ArgumentNullException(nameof(values))), offset);

    /// <summary>Copies <paramref name="count"/> elements of another buffer of the same device.</summary>
    /// <exception cref="BadArgumentException">A range does not fit, or the buffers belong to different devices.</exception>
    public void CopyFrom(DeviceBuffer<T> source, long sourceOffset, long offset, long count)
    {
        if (source.Device.Handle != Device.Handle)
        {
            throw new BadArgumentException(nameof(source), "a buffer of the same device", "one of another device");
        }

        CheckRange(offset, count);
        source.CheckRange(sourceOffset, count);
        Copy(Pointer + offset, source.Pointer + sourceOffset, count, tt_copy.TT_DEVICE_TO_DEVICE);
        GC.KeepAlive(source);
    }

    /// <summary>Copies elements [<paramref name="offset"/>, offset + values.Length) to the host, after all work before has been done.</summary>
    /// <exception cref="BadArgumentException">The buffer does not have so many.</exception>
    public void CopyTo(Span<T> values, long offset = 0)
    {
        CheckRange(offset, values.Length);
        fixed (T* host = &MemoryMarshal.GetReference(values))
        {
            Copy(host, Pointer + offset, values.Length, tt_copy.TT_DEVICE_TO_HOST);
        }
    }

    /// <summary>Copies elements [<paramref name="offset"/>, offset + values.Length) to the host, after all work before has been done.</summary>
    /// <exception cref="BadArgumentException">The buffer does not have so many.</exception>
    public void CopyTo(T[] values, long offset = 0) =>
        CopyTo((values ?? throw new ArgumentNullException(nameof(values))).AsSpan(), offset);

    /// <summary>All elements as a new host array.</summary>
    /// <exception cref="UnsupportedException">There are more than a managed array holds.</exception>
    public T[] ToArray()
    {
        if (Length > int.MaxValue)
        {
            throw new UnsupportedException($"a managed array holds at most {int.MaxValue} elements, this buffer has {Length}");
        }

        var result = new T[Length];
        CopyTo(result.AsSpan());
        return result;
    }

    /// <summary>Sets all elements to zero.</summary>
    public void Clear() => Clear(0, Length);

    /// <summary>Sets elements [<paramref name="offset"/>, offset + count) to zero.</summary>
    /// <exception cref="BadArgumentException">The buffer does not have so many.</exception>
    public void Clear(long offset, long count)
    {
        CheckRange(offset, count);
        T* start = Pointer + offset;
        using ContextLease lease = _memory.Parent.Enter();
        Status.Check(NativeMethods.tt_memory_zero(lease.Pointer, start, count * sizeof(T)));
        GC.KeepAlive(this);
    }

    /// <summary>Frees the memory.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _memory.Dispose();
    }

    private void Copy(void* to, void* from, long count, tt_copy direction)
    {
        if (count == 0)
        {
            return;
        }

        using ContextLease lease = _memory.Parent.Enter();
        Status.Check(NativeMethods.tt_memory_copy(lease.Pointer, to, from, count * sizeof(T), (int)direction));
        GC.KeepAlive(this);
    }

    private void CheckRange(long offset, long count)
    {
        if (offset < 0 || count < 0 || offset > Length - count)
        {
            throw new BadArgumentException(
                nameof(offset), $"elements within [0, {Length})", $"{count} elements from {offset} on");
        }
    }
}
