using System.IO.Compression;
using System.Text;
using Twintail.Data;
using Twintail.Data.Duck;

namespace Twintail.Tests.Data;

/// <summary>A temporary folder with input files, removed at the end.</summary>
internal sealed class DataFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("twintail-test-").FullName;

    public string this[string name] => System.IO.Path.Combine(Path, name);

    /// <summary>Writes a text file, gzip if its name ends so.</summary>
    public string Write(string name, string text) => Write(name, Encoding.UTF8.GetBytes(text));

    public string Write(string name, byte[] bytes)
    {
        Directory.CreateDirectory(System.IO.Path.GetDirectoryName(this[name])!);
        File.WriteAllBytes(this[name], name.EndsWith(".gz", StringComparison.Ordinal) ? Gzip(bytes) : bytes);
        return this[name];
    }

    /// <summary>Writes the result of a DuckDB query as Parquet.</summary>
    public string WriteParquet(string name, string query)
    {
        using var duck = new DuckDb(1);
        duck.Execute($"COPY ({query}) TO {DuckDb.Quote(this[name])} (FORMAT parquet)");
        return this[name];
    }

    public static byte[] Gzip(byte[] bytes)
    {
        using var memory = new MemoryStream();
        using (var stream = new GZipStream(memory, CompressionLevel.Optimal))
        {
            stream.Write(bytes);
        }

        return memory.ToArray();
    }

    /// <summary>The error that reading gives.</summary>
    public static DatasetException Refused(DatasetOptions options) => Assert.Throws<DatasetException>(() => DatasetReader.Read(options))!;

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
