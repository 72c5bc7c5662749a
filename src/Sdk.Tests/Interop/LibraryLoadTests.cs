using Twintail.Interop;

namespace Twintail.Tests.Interop;

/// <summary>Loading keeps every attempt with its reason.</summary>
internal sealed class LibraryLoadTests
{
    private readonly List<LoadAttempt> _attempts = [];
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void MakeFolder()
    {
        _attempts.Clear();
        _folder = new TemporaryFolder();
    }

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void MissingFiles()
    {
        string[] places = [Path.Combine(_folder.Path, "libtwintail.so"), Path.Combine(_folder.Path, "runtimes", "libtwintail.so")];
        NativeLoadException error = Fails(places);
        Assert.That(error.Attempts.Select(a => a.Path), Is.EqualTo(places));
        Assert.That(error.Attempts.Select(a => a.Error), Is.All.EqualTo("no such file"));
        Assert.That(error.Message, Does.Contain(places[0]).And.Contain(places[1]).And.Contain("no such file"));
    }

    [Test]
    public void NotALibrary()
    {
        string file = Path.Combine(_folder.Path, "libtwintail.so");
        File.WriteAllText(file, "this is text");
        NativeLoadException error = Fails(file);
        Assert.That(error.Attempts[0].Error, Does.Contain("invalid ELF header").Or.Contain("file too short"), "the system's own words");
    }

    [Test]
    public void WrongAbiVersion()
    {
        string library = Gcc.Library(_folder.Path, "libtwintail.so", "int tt_abi_version(void); int tt_abi_version(void) { return 77; }");
        NativeLoadException error = Fails(library);
        Assert.That(error.Attempts[0].Error, Is.EqualTo($"ABI version 77, expected {NativeMethods.TT_ABI_VERSION}"));
    }

    [Test]
    public void AForeignLibrary()
    {
        string library = Gcc.Library(_folder.Path, "libtwintail.so", "int something(void); int something(void) { return 1; }");
        Assert.That(Fails(library).Attempts[0].Error, Does.Contain("tt_abi_version"));
    }

    [Test]
    public void AMissingDependency()
    {
        // Linked against a library that is gone at run time: the loader's message names it.
        string other = Gcc.Library(_folder.Path, "libgone.so", "int gone(void); int gone(void) { return 1; }");
        string source = "int gone(void); int tt_abi_version(void); int tt_abi_version(void) { return gone(); }";
        string library = Gcc.Library(_folder.Path, "libtwintail.so", source, "-L" + _folder.Path, "-lgone");
        File.Delete(other);
        Assert.That(Fails(library).Attempts[0].Error, Does.Contain("libgone.so"));
    }

    [Test]
    public void TheFirstThatFitsIsTaken()
    {
        string wrong = Gcc.Library(_folder.Path, "libwrong.so", "int tt_abi_version(void); int tt_abi_version(void) { return 77; }");
        string right = Gcc.Library(
            _folder.Path, "libright.so", $"int tt_abi_version(void); int tt_abi_version(void) {{ return {NativeMethods.TT_ABI_VERSION}; }}");
        IntPtr library = TwintailLibrary.LoadFrom([Path.Combine(_folder.Path, "none.so"), wrong, right, "/never/tried.so"], _attempts);
        Assert.That(library, Is.Not.EqualTo(IntPtr.Zero));
        Assert.That(_attempts.Select(a => a.Path), Is.EqualTo(new[] { Path.Combine(_folder.Path, "none.so"), wrong, right }));
        Assert.That(_attempts[2].Error, Is.Null);
        Assert.That(_attempts[2].ToString(), Is.EqualTo($"{right}: loaded"));
        System.Runtime.InteropServices.NativeLibrary.Free(library);
    }

    [Test]
    public void TheLoadedOneIsReported()
    {
        TwintailLibrary.EnsureLoaded();
        Assert.That(TwintailLibrary.Attempts, Is.Not.Empty);
        Assert.That(TwintailLibrary.Attempts[^1].Error, Is.Null);
        Assert.That(TwintailLibrary.Version, Does.Match(@"^\d+\.\d+\.\d+"));
    }

    [Test, NonParallelizable]
    public void TheEnvironmentVariableDecidesAlone()
    {
        string? before = Environment.GetEnvironmentVariable(TwintailLibrary.PathVariable);
        try
        {
            Environment.SetEnvironmentVariable(TwintailLibrary.PathVariable, Path.Combine(_folder.Path, "mine.so"));
            Assert.That(TwintailLibrary.Candidates(), Is.EqualTo(new[] { Path.Combine(_folder.Path, "mine.so") }));
            Environment.SetEnvironmentVariable(TwintailLibrary.PathVariable, _folder.Path);
            Assert.That(TwintailLibrary.Candidates(), Is.EqualTo(new[] { Path.Combine(_folder.Path, "libtwintail.so") }));
            Environment.SetEnvironmentVariable(TwintailLibrary.PathVariable, null);
            string[] usual = [.. TwintailLibrary.Candidates()];
            Assert.That(usual[0], Is.EqualTo(Path.Combine(AppContext.BaseDirectory.TrimEnd('/'), "libtwintail.so")));
            Assert.That(usual, Has.Some.EndsWith("runtimes/linux-x64/native/libtwintail.so"));
            Assert.That(usual[^1], Is.EqualTo("libtwintail.so"), "the system's own search comes last");
            Assert.That(usual, Is.Unique);
        }
        finally
        {
            Environment.SetEnvironmentVariable(TwintailLibrary.PathVariable, before);
        }
    }

    private NativeLoadException Fails(params string[] candidates) =>
        Assert.Throws<NativeLoadException>(() => TwintailLibrary.LoadFrom(candidates, _attempts))!;
}
