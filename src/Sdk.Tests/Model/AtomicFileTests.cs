using System.Text;
using Twintail.Storage;

namespace Twintail.Tests.Model;

internal sealed class AtomicFileTests
{
    private string _directory = "";

    private string FilePath => Path.Combine(_directory, "file");

    [SetUp]
    public void Create() => _directory = Directory.CreateTempSubdirectory("twintail-tests-").FullName;

    [TearDown]
    public void Delete() => Directory.Delete(_directory, recursive: true);

    [Test]
    public void CreatesAndReplaces()
    {
        new AtomicFile().WriteText(FilePath, "old");
        new AtomicFile().WriteText(FilePath, "new ä");

        Assert.That(File.ReadAllText(FilePath), Is.EqualTo("new ä"));
        Assert.That(Directory.GetFiles(_directory), Has.Length.EqualTo(1), "nothing temporary is left");
    }

    [Test]
    public void AFailureAtAnyMomentLeavesTheOldFileWhole([Values] FailAt at, [Values(0, 1, 99, 100)] int bytes)
    {
        new AtomicFile().WriteText(FilePath, "old");
        byte[] content = Encoding.ASCII.GetBytes(new string('x', 100));

        Assert.Throws<IOException>(() => new FailingFile(at, bytes).Write(FilePath, stream =>
        {
            foreach (byte b in content)
            {
                stream.WriteByte(b);
            }
        }));

        Assert.That(File.ReadAllText(FilePath), Is.EqualTo("old"));
        Assert.That(Directory.GetFiles(_directory), Has.Length.EqualTo(1), "nothing temporary is left");
    }

    [Test]
    public void ALeftoverOfAKilledWriteIsReplaced()
    {
        File.WriteAllText(FilePath + AtomicFile.TemporarySuffix, "half of something");

        new AtomicFile().WriteText(FilePath, "new");

        Assert.That(File.ReadAllText(FilePath), Is.EqualTo("new"));
        Assert.That(Directory.GetFiles(_directory), Has.Length.EqualTo(1));
    }

    [Test]
    public void AMissingFolderIsAnIoError() =>
        Assert.Throws<DirectoryNotFoundException>(() => new AtomicFile().WriteText(Path.Combine(_directory, "none", "file"), "new"));
}

/// <summary>Where <see cref="FailingFile"/> fails.</summary>
internal enum FailAt
{
    Open,
    Write,
    Force,
    Replace,
}

/// <summary>An <see cref="AtomicFile"/> that meets a full disk; for another count of files it works before.</summary>
internal sealed class FailingFile(FailAt at, long bytes, int goodFiles = 0) : AtomicFile
{
    private int _goodFiles = goodFiles;

    protected override Stream Open(string path)
    {
        Fail(FailAt.Open);
        return at == FailAt.Write && _goodFiles <= 0 ? new FullStream(base.Open(path), Math.Min(bytes, 99)) : base.Open(path);
    }

    protected override void Force(Stream stream)
    {
        Fail(FailAt.Force);
        base.Force(stream);
    }

    protected override void Replace(string from, string to)
    {
        Fail(FailAt.Replace);
        base.Replace(from, to);
        _goodFiles--;
    }

    private void Fail(FailAt here)
    {
        if (at == here && _goodFiles <= 0)
        {
            throw new IOException("No space left on device");
        }
    }

    private sealed class FullStream(Stream inner, long room) : Stream
    {
        private long _room = room;

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => throw new NotSupportedException(); }

        public override void Flush() => inner.Flush();

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count)
        {
            int fits = (int)Math.Min(count, _room);
            inner.Write(buffer, offset, fits);
            _room -= fits;
            if (fits < count)
            {
                throw new IOException("No space left on device");
            }
        }

        protected override void Dispose(bool disposing) => inner.Dispose();
    }
}
