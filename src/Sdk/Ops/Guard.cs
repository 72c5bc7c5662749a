using System.Globalization;

namespace Twintail.Ops;

/// <summary>Checks of what the native side cannot see: lengths of buffers and their devices. It checks all the rest.</summary>
internal static unsafe class Guard
{
    /// <summary>The address of a buffer that must hold at least <paramref name="needed"/> elements.</summary>
    public static T* Pointer<T>(Device device, DeviceBuffer<T> buffer, long needed, string name)
        where T : unmanaged
    {
        if (buffer == null)
        {
            throw new BadArgumentException(name, "a buffer", "null");
        }

        if (buffer.Device.Handle != device.Handle)
        {
            throw new BadArgumentException(name, "a buffer of the device of the call", "one of another device");
        }

        if (buffer.Length < needed)
        {
            throw new BadArgumentException(name, $"at least {Text(needed)} elements", Text(buffer.Length));
        }

        return buffer.Pointer;
    }

    /// <summary>The same for a buffer that may be left out.</summary>
    public static T* PointerOrNull<T>(Device device, DeviceBuffer<T>? buffer, long needed, string name)
        where T : unmanaged => buffer == null ? null : Pointer(device, buffer, needed, name);

    /// <summary>A number of rows or columns.</summary>
    public static void AtLeast(long minimum, long value, string name)
    {
        if (value < minimum)
        {
            throw new BadArgumentException(name, $"at least {Text(minimum)}", Text(value));
        }
    }

    /// <summary>Number of elements of a matrix; whether 0 rows are allowed is for the native side to say.</summary>
    public static long Elements(long rows, long columns, string rowsName, string columnsName)
    {
        AtLeast(1, columns, columnsName);
        if (rows < 0 || rows > long.MaxValue / columns)
        {
            throw new BadArgumentException(rowsName, $"a number in [0, {Text(long.MaxValue / columns)}]", Text(rows));
        }

        return rows * columns;
    }

    /// <summary>A host array of exactly <paramref name="expected"/> elements.</summary>
    public static void Length(Array array, long expected, string name)
    {
        if (array == null || array.LongLength != expected)
        {
            throw new BadArgumentException(name, $"{Text(expected)} elements", array == null ? "null" : Text(array.LongLength));
        }
    }

    /// <summary>Number of rows of a host matrix with <paramref name="columns"/> columns.</summary>
    public static long Rows(Array matrix, int columns, string name)
    {
        AtLeast(1, columns, "d");
        if (matrix == null || matrix.Length == 0 || matrix.LongLength % columns != 0)
        {
            throw new BadArgumentException(
                name, $"a positive multiple of d = {Text(columns)} elements", matrix == null ? "null" : Text(matrix.LongLength));
        }

        return matrix.LongLength / columns;
    }

    /// <summary>Uploads an array that may be left out.</summary>
    public static DeviceBuffer<T>? UploadOrNull<T>(Device device, T[]? values)
        where T : unmanaged => values == null ? null : device.Upload(values);

    private static string Text(long value) => value.ToString(CultureInfo.InvariantCulture);
}
