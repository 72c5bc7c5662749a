// The runs of the CUDA kernels on a CPU (native/simt): the machine's own tests, and the op tests with the
// CUDA backend that is built for it.

public sealed class SimtRun(ICakeContext context, TestRun tests, string filter)
{
    /// What has to be built: CMake makes the plugin only when there is a backend.
    public string[] Targets =>
        [.. OwnTests, .. HasBackend ? new[] { "twintail_cuda_simt" } : []];

    /// The tests of the machine itself, and those of kernels that need no backend around them.
    public void RunMachine(DirectoryPath build, string name, int seed)
    {
        foreach (var program in OwnTests)
        {
            tests.RunNative(build.CombineWithFilePath($"bin/{program}"), $"{name}-{seed}", filter, [$"SIMT_SEED={seed}"]);
        }
    }

    /// The op tests of the core in `core` on the CUDA backend of `simt`, as a device of that compute capability (major and minor).
    public void RunOps(DirectoryPath core, DirectoryPath simt, string name, int seed, int capability = 80)
    {
        if (!HasBackend)
        {
            context.Warning("No source in native/cuda defines tt_backend_open: there is no CUDA backend that an op test could run on.");
            return;
        }
        var plugin = simt.CombineWithFilePath("lib/libtwintail_cuda_simt.so");
        if (!context.FileExists(plugin)) throw new CakeException($"{plugin} was not built.");
        // Every test that runs on a device has the device's name in its own. They take long, each on one thread.
        tests.RunNative(core.CombineWithFilePath("bin/twintail_tests"), $"{name}-ops-{seed}",
                        filter == "*" ? "*Cuda*" : filter,
                        [$"SIMT_SEED={seed}", $"SIMT_SM={capability}", $"TWINTAIL_CUDA_PLUGIN={plugin}"], mustMatch: filter == "*");
        if (filter != "*") return;
        // And linear through a library that looks like cuBLASLt.
        var cublasLt = simt.CombineWithFilePath("lib/libtwintail_fake_cublaslt.so");
        tests.RunNative(core.CombineWithFilePath("bin/twintail_tests"), $"{name}-cublaslt-{seed}", "*LinearTest*Cuda*",
                        [$"SIMT_SEED={seed}", $"TWINTAIL_CUDA_PLUGIN={plugin}", $"TWINTAIL_CUBLASLT={cublasLt}"], mustMatch: true);
        // And the losses by the kernels of sm_90a, which have to be asked for.
        tests.RunNative(core.CombineWithFilePath("bin/twintail_tests"), $"{name}-hopper-{seed}", "*Bfloat16IsNear*Cuda*:*LossBfloat16*Cuda*",
                        [$"SIMT_SEED={seed}", "SIMT_SM=90", $"TWINTAIL_CUDA_PLUGIN={plugin}", "TWINTAIL_CUDA_KERNELS=hopper"], mustMatch: true);
    }

    private static readonly string[] OwnTests = ["twintail_simt_tests", "twintail_cuda_loss_tests", "twintail_cuda_host_tests"];

    private bool HasBackend =>
        context.GetFiles("native/cuda/**/*.{cu,cpp}")
            .Where(file => !file.FullPath.Contains("/cuda/tests/"))
            .Any(file => System.IO.File.ReadAllText(file.FullPath).Contains("tt_backend_open"));
}
