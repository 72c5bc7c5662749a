using System.Buffers.Binary;
using System.Text;

namespace Twintail.ElfWeaken;

/// <summary>The parts of a little-endian ELF64 image that say which symbol versions it needs from other libraries.</summary>
/// <remarks>Layouts: System V ABI, chapter 4 (section headers); Linux Standard Base 5, "Symbol Versioning".</remarks>
internal sealed class ElfFile
{
    private const int SectionTypeVersionNeeds = 0x6ffffffe; // SHT_GNU_verneed
    private const ushort FlagWeak = 2;                      // VER_FLG_WEAK

    private readonly byte[] _image;

    public ElfFile(byte[] image)
    {
        ReadOnlySpan<byte> magic = [0x7f, (byte)'E', (byte)'L', (byte)'F', 2 /* 64 bits */, 1 /* little endian */];
        if (!image.AsSpan().StartsWith(magic))
        {
            throw new InvalidDataException("not a little-endian 64-bit ELF file");
        }
        _image = image;
    }

    /// <summary>Marks every need for <paramref name="version"/> as weak: where the version is absent, the dynamic
    /// linker then goes on instead of refusing the library.</summary>
    /// <returns>How many needs of that version there are, and how many were strong before.</returns>
    public (int Found, int Changed) Weaken(string version)
    {
        int found = 0, changed = 0;
        foreach (int need in NeededVersions())
        {
            if (Name(need) != version)
            {
                continue;
            }
            found++;
            ushort flags = U16(need + 4);
            if ((flags & FlagWeak) == 0)
            {
                BinaryPrimitives.WriteUInt16LittleEndian(_image.AsSpan(need + 4), (ushort)(flags | FlagWeak));
                changed++;
            }
        }
        return (found, changed);
    }

    /// <summary>Offsets of all Vernaux records: hash:4 flags:2 other:2 name:4 next:4.</summary>
    private IEnumerable<int> NeededVersions()
    {
        if (VersionNeedsSection() is not { } section)
        {
            yield break;
        }
        int libraries = I32(section + 44); // sh_info
        int library = Offset(section + 24); // Verneed: version:2 count:2 file:4 aux:4 next:4
        for (int i = 0; i < libraries; i++)
        {
            int need = library + I32(library + 8);
            for (int k = U16(library + 2); k > 0; k--)
            {
                yield return need;
                need += I32(need + 12);
            }
            library += I32(library + 12);
        }
    }

    private string Name(int need)
    {
        int section = VersionNeedsSection()!.Value;
        int strings = Section(I32(section + 40)); // sh_link
        int start = Offset(strings + 24) + I32(need + 8);
        return Encoding.ASCII.GetString(_image, start, Array.IndexOf(_image, (byte)0, start) - start);
    }

    private int? VersionNeedsSection()
    {
        int count = U16(0x3c); // e_shnum
        for (int i = 0; i < count; i++)
        {
            if (I32(Section(i) + 4) == SectionTypeVersionNeeds)
            {
                return Section(i);
            }
        }
        return null;
    }

    private int Section(int index) => Offset(0x28) + index * U16(0x3a); // e_shoff, e_shentsize

    private int Offset(int at) => checked((int)BinaryPrimitives.ReadInt64LittleEndian(_image.AsSpan(at)));

    private int I32(int at) => BinaryPrimitives.ReadInt32LittleEndian(_image.AsSpan(at));

    private ushort U16(int at) => BinaryPrimitives.ReadUInt16LittleEndian(_image.AsSpan(at));
}
