using System.Runtime.InteropServices;

namespace Twintail.Storage;

/// <summary>A named array to be written: on the host or on a device.</summary>
internal abstract class TensorData
{
    protected TensorData(string name, string type, long[] shape, long bytes)
    {
        Name = name;
        Type = type;
        Shape = shape;
        Bytes = bytes;
    }

    public string Name { get; }

    /// <summary>The format's name of the element type: F32, I32, ...</summary>
    public string Type { get; }

    public long[] Shape { get; }

    public long Bytes { get; }

    public static TensorData Of<T>(string name, T[] values, params long[] shape)
        where T : unmanaged => new HostTensor<T>(name, values, shape.Length == 0 ? new long[] { values.Length } : shape);

    public static TensorData Of<T>(string name, DeviceBuffer<T> values, params long[] shape)
        where T : unmanaged => new DeviceTensor<T>(name, values, 0, shape.Length == 0 ? new[] { values.Length } : shape);

    /// <summary>A part of a buffer: as many elements from <paramref name="offset"/> on as the shape has.</summary>
    public static TensorData OfPart<T>(string name, DeviceBuffer<T> values, long offset, params long[] shape)
        where T : unmanaged => new DeviceTensor<T>(name, values, offset, shape);

    /// <summary>Hands the bytes over piece by piece; pieces are reused.</summary>
    public abstract void Read(Action<byte[], int> piece);

    internal static string TypeName<T>()
    {
        if (typeof(T) == typeof(float))
        {
            return "F32";
        }

        if (typeof(T) == typeof(double))
        {
            return "F64";
        }

        if (typeof(T) == typeof(int))
        {
            return "I32";
        }

        if (typeof(T) == typeof(long))
        {
            return "I64";
        }

        return typeof(T) == typeof(byte) ? "U8" : throw new NotSupportedException($"tensors of {typeof(T).Name}");
    }

    private sealed class HostTensor<T> : TensorData
        where T : unmanaged
    {
        private readonly T[] _values;

        public HostTensor(string name, T[] values, long[] shape)
            : base(name, TypeName<T>(), shape, (long)values.Length * Marshal.SizeOf<T>()) => _values = values;

        public override void Read(Action<byte[], int> piece)
        {
            var buffer = new byte[1 << 20];
            int step = buffer.Length / Marshal.SizeOf<T>();
            for (int start = 0; start < _values.Length; start += step)
            {
                Span<byte> bytes = MemoryMarshal.AsBytes(_values.AsSpan(start, Math.Min(step, _values.Length - start)));
                bytes.CopyTo(buffer);
                piece(buffer, bytes.Length);
            }
        }
    }

    private sealed class DeviceTensor<T> : TensorData
        where T : unmanaged
    {
        private readonly DeviceBuffer<T> _values;
        private readonly long _offset;

        public DeviceTensor(string name, DeviceBuffer<T> values, long offset, long[] shape)
            : base(name, TypeName<T>(), shape, shape.Aggregate(1L, (a, b) => a * b) * Marshal.SizeOf<T>())
        {
            _values = values;
            _offset = offset;
        }

        public override void Read(Action<byte[], int> piece)
        {
            var buffer = new byte[1 << 20];
            int step = buffer.Length / Marshal.SizeOf<T>();
            long count = Bytes / Marshal.SizeOf<T>();
            for (long start = 0; start < count; start += step)
            {
                int bytes = (int)Math.Min(step, count - start) * Marshal.SizeOf<T>();
                _values.CopyTo(MemoryMarshal.Cast<byte, T>(buffer.AsSpan(0, bytes)), _offset + start);
                piece(buffer, bytes);
            }
        }
    }
}
