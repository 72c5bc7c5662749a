using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;
using Twintail.Interop;

namespace Twintail.Tests.Interop;

/// <summary>The managed structs and enums against what a C compiler makes of twintail.h.</summary>
internal sealed class LayoutTests
{
    private static Type[] Structs() =>
    [
        .. typeof(NativeMethods).Assembly.GetTypes()
            .Where(type => type.IsValueType && !type.IsEnum && type.Name.StartsWith("tt_", StringComparison.Ordinal)
                           && Fields(type).Length > 0),
    ];

    private static Type[] Enums() =>
        [.. typeof(NativeMethods).Assembly.GetTypes().Where(type => type.IsEnum && type.Name.StartsWith("tt_", StringComparison.Ordinal))];

    [Test]
    public void SizesOffsetsAndValuesAreThoseOfC()
    {
        string? header = Header();
        if (header == null)
        {
            Assert.Ignore("native/include/twintail.h is not there: not run from a checkout");
        }

        var program = new StringBuilder("#include <stddef.h>\n#include <stdio.h>\n#include \"twintail.h\"\nint main(void) {\n");
        var expected = new StringBuilder();
        foreach (Type type in Structs())
        {
            program.Append($"  printf(\"{type.Name} %zu\\n\", sizeof({type.Name}));\n");
            expected.Append($"{type.Name} {Marshal.SizeOf(type)}\n");
            foreach (FieldInfo field in Fields(type))
            {
                program.Append($"  printf(\"{type.Name}.{field.Name} %zu %zu\\n\", offsetof({type.Name}, {field.Name}), ");
                program.Append($"sizeof((({type.Name}*)0)->{field.Name}));\n");
                expected.Append($"{type.Name}.{field.Name} {Marshal.OffsetOf(type, field.Name)} {Size(field)}\n");
            }
        }

        foreach (Type type in Enums())
        {
            foreach (string name in Enum.GetNames(type))
            {
                program.Append($"  printf(\"{name} %d\\n\", (int){name});\n");
                expected.Append($"{name} {(int)Enum.Parse(type, name)}\n");
            }
        }

        program.Append("  return 0;\n}\n");
        using var folder = new TemporaryFolder();
        string got = Gcc.Run(folder.Path, program.ToString(), "-I", Path.GetDirectoryName(header)!);
        Assert.That(got.Split('\n'), Is.EqualTo(expected.ToString().Split('\n')));
        Assert.That(Structs(), Has.Length.GreaterThan(12), "the test looked at the structs");
    }

    [Test]
    public void FieldsAreBlittable()
    {
        foreach (FieldInfo field in Structs().SelectMany(Fields))
        {
            bool blittable = field.FieldType.IsPointer || field.FieldType.IsPrimitive || field.GetCustomAttribute<FixedBufferAttribute>() != null;
            Assert.That(blittable && field.FieldType != typeof(bool) && field.FieldType != typeof(char), Is.True, $"{field.DeclaringType!.Name}.{field.Name}");
        }
    }

    [Test]
    public unsafe void AWrongStructSizeIsRefused()
    {
        using Device device = Device.Cpu(1);
        using ContextLease lease = device.Handle.Enter();
        tt_context* context = lease.Pointer;
        float one = 1;
        long offsets = 0;
        int id = 0;
        foreach (int size in new[] { 0, -1, sizeof(int) })
        {
            var options = new tt_context_options { struct_size = size };
            tt_context* made = null;
            Refused(NativeMethods.tt_context_create(&options, &made));
            var info = new tt_context_info { struct_size = size };
            Refused(NativeMethods.tt_context_get_info(context, &info));
            var report = new tt_backend_report { struct_size = size };
            Refused(NativeMethods.tt_backend_probe(0, &report));
            var table = new tt_feature_table_options { struct_size = size };
            tt_feature_table* madeTable = null;
            Refused(NativeMethods.tt_feature_table_create(context, &table, &madeTable));
            var softmax = new tt_sampled_softmax_args { struct_size = size };
            Refused(NativeMethods.tt_sampled_softmax(context, &softmax));
            var contrastive = new tt_contrastive_args { struct_size = size };
            Refused(NativeMethods.tt_contrastive(context, &contrastive));
            var retrieval = new tt_retrieval_args { struct_size = size };
            Refused(NativeMethods.tt_top_k(context, &retrieval, 1, &id, &one));
            Refused(NativeMethods.tt_rank(context, &retrieval, &offsets, &id, &id));
            var optimizer = new tt_optimizer { struct_size = size };
            Refused(NativeMethods.tt_dense_update(context, &optimizer, &one, &one, null, null, 1));
        }

        static void Refused(tt_status status)
        {
            BadArgumentException error = Assert.Throws<BadArgumentException>(() => Status.Check(status))!;
            Assert.That(error.Argument, Does.EndWith("struct_size"));
        }
    }

    [Test]
    public unsafe void ALongerStructWithZerosIsAccepted()
    {
        // What a host compiled against a newer header passes.
        byte* memory = stackalloc byte[sizeof(tt_context_options) + 16];
        new Span<byte>(memory, sizeof(tt_context_options) + 16).Clear();
        var options = (tt_context_options*)memory;
        options->struct_size = sizeof(tt_context_options) + 16;
        options->threads = 1;
        tt_context* context = null;
        Status.Check(NativeMethods.tt_context_create(options, &context));
        Status.Check(NativeMethods.tt_context_destroy(context));

        memory[sizeof(tt_context_options) + 3] = 1; // a field that this version lacks is set
        tt_status status = NativeMethods.tt_context_create(options, &context);
        Assert.Throws<BadArgumentException>(() => Status.Check(status));
    }

    private static FieldInfo[] Fields(Type type) => type.GetFields(BindingFlags.Public | BindingFlags.Instance);

    private static int Size(FieldInfo field) =>
        field.FieldType.IsPointer ? IntPtr.Size : Marshal.SizeOf(field.FieldType);

    private static string? Header([CallerFilePath] string here = "")
    {
        foreach (string start in new[] { AppContext.BaseDirectory, here })
        {
            for (string? folder = start; folder != null; folder = Path.GetDirectoryName(folder))
            {
                string header = Path.Combine(folder, "native", "include", "twintail.h");
                if (File.Exists(header))
                {
                    return header;
                }
            }
        }

        return null;
    }
}
