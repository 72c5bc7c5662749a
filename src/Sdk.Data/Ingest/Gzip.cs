using System.Buffers.Binary;
using System.IO.Compression;

namespace Twintail.Data.Ingest;

/// <summary>
/// Checks gzip files before they are read. DuckDB takes a truncated file for a shorter one and looks at no checksum, and GZipStream
/// checks the checksums but not that the last member is complete: both would lose clicks in silence.
/// </summary>
internal static class Gzip
{
    private const int BufferBytes = 1 << 17;

    /// <summary>Whether the file starts like a gzip file.</summary>
    public static bool IsGzip(ReadOnlySpan<byte> start) => start.Length >= 2 && start[0] == 0x1F && start[1] == 0x8B;

    /// <summary>Reads the whole file and fails if it is damaged or cut off.</summary>
    /// <exception cref="DatasetException">It is.</exception>
    public static void Check(string path, CancellationToken cancel)
    {
        try
        {
            long length = Length(path, cancel);
            Span<byte> trailer = stackalloc byte[8];
            using FileStream file = File.OpenRead(path);
            file.Seek(-Math.Min(8, file.Length), SeekOrigin.End);
            file.ReadExactly(trailer);
            uint crc = BinaryPrimitives.ReadUInt32LittleEndian(trailer);
            uint size = BinaryPrimitives.ReadUInt32LittleEndian(trailer[4..]);
            // One member: its size is the whole. Several: the last one's checksum must be that of the last `size` bytes.
            if ((uint)length != size && (size > length || LastBytesCrc(path, length - size, cancel) != crc))
            {
                throw new DatasetException("the gzip file is cut off", path);
            }
        }
        catch (InvalidDataException error)
        {
            throw new DatasetException("the gzip file is damaged", path, inner: error);
        }
        catch (EndOfStreamException error)
        {
            throw new DatasetException("the gzip file is cut off", path, inner: error);
        }
    }

    private static long Length(string path, CancellationToken cancel)
    {
        using var stream = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        var buffer = new byte[BufferBytes];
        long length = 0;
        for (int read; (read = stream.Read(buffer)) > 0; length += read)
        {
            cancel.ThrowIfCancellationRequested();
        }

        return length;
    }

    private static uint LastBytesCrc(string path, long skip, CancellationToken cancel)
    {
        using var stream = new GZipStream(File.OpenRead(path), CompressionMode.Decompress);
        var buffer = new byte[BufferBytes];
        uint crc = uint.MaxValue;
        long at = 0;
        for (int read; (read = stream.Read(buffer)) > 0; at += read)
        {
            cancel.ThrowIfCancellationRequested();
            for (int i = (int)Math.Clamp(skip - at, 0, read); i < read; i++)
            {
                crc ^= buffer[i];
                for (int bit = 0; bit < 8; bit++)
                {
                    crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1)));
                }
            }
        }

        return ~crc;
    }
}
