using Twintail.ElfWeaken;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: Twintail.ElfWeaken VERSION LIBRARY   (for instance GLIBCXX_3.4.32 libX.so)");
    return 2;
}
string version = args[0], path = args[1];
if (!File.Exists(path))
{
    Console.Error.WriteLine($"{path}: no such file");
    return 1;
}

byte[] image = File.ReadAllBytes(path);
(int found, int changed) = new ElfFile(image).Weaken(version);
if (changed > 0)
{
    // A new file takes the name: others may share the old one through hard links. The time stays, so that an
    // incremental build does not take the copy for an outdated one.
    string temporary = $"{path}.{Environment.ProcessId}.tmp";
    File.WriteAllBytes(temporary, image);
    File.SetLastWriteTimeUtc(temporary, File.GetLastWriteTimeUtc(path));
    if (!OperatingSystem.IsWindows())
    {
        File.SetUnixFileMode(temporary, File.GetUnixFileMode(path));
    }
    File.Move(temporary, path, overwrite: true);
}
Console.WriteLine($"{path}: {found} need(s) of {version}, {changed} weakened");
return 0;
