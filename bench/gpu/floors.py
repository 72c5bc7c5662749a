"""What the device itself allows, from its own numbers: the floors that kernels are held against.

The loss, forward and backward with the scores recomputed once (docs/performance.md): 8 n m d flops in products,
2 n m exponentials (16 a clock on each multiprocessor), inputs and gradients through memory once.
"""
EXP_PER_CLOCK_PER_SM = 16  # CUDA C++ Programming Guide, arithmetic instructions: ex2 on sm_80 to sm_90


def measure(torch, time_ms, quick=False):
    """SM count, clock, peak of matrix products per dtype (TFLOP/s) and copy bandwidth (TB/s, read + written)."""
    properties = torch.cuda.get_device_properties(0)
    floors = {"device": properties.name, "sms": properties.multi_processor_count,
              "compute_capability": f"{properties.major}.{properties.minor}",
              "memory_gib": properties.total_memory / 2**30, "torch": torch.__version__, "cuda": torch.version.cuda,
              "tflops": {}}
    size = 4096 if quick else 8192
    try:
        for name, dtype, tf32 in (("bfloat16", torch.bfloat16, False), ("tf32", torch.float32, True),
                                  ("float32", torch.float32, False)):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a = torch.randn(size, size, device="cuda").to(dtype)  # random: zeros run faster than anything real
            b = torch.randn(size, size, device="cuda").to(dtype)
            floors["tflops"][name] = 2 * size**3 / time_ms(lambda: torch.matmul(a, b)).median / 1e9
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    floors["copy_tb_s"] = copy_tb_s(torch, time_ms)
    floors["clock_mhz"] = clock_mhz(torch, lambda: torch.matmul(a, b))
    return floors


def unless_unable(measure):
    """What `measure` returns; None where the device or a library of it refuses: rows without floors are better than no rows."""
    try:
        return measure()
    except Exception as error:
        print(f"floors: {type(error).__name__}: {error}", flush=True)
        return None


def copy_tb_s(torch, time_ms):
    """Read + written, of a copy far larger than the caches."""
    source = torch.empty(2**30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * source.numel() / time_ms(lambda: target.copy_(source)).median / 1e9


def clock_mhz(torch, work):
    """The multiprocessors' clock at work; the properties' maximum where nobody tells."""
    try:
        torch.cuda.clock_rate()  # loads what tells it, which takes longer than the clock stays up
        for _ in range(20):
            work()
        found = float(torch.cuda.clock_rate())
        torch.cuda.synchronize()
        return found
    except Exception:  # needs pynvml
        import subprocess
        text = subprocess.run(["nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits"],
                              capture_output=True, text=True, check=True).stdout
        return float(text.split()[0])


def loss_floor_ms(floors, n, m, d, dtype):
    """Forward and backward, float32 inputs; the binding limit and its name. `dtype`: of the operands in the products."""
    limits = {
        "mma": 8 * n * m * d / (floors["tflops"]["bfloat16" if dtype == "bfloat16" else "tf32"] * 1e9),
        "exp": 2 * n * m / (floors["sms"] * EXP_PER_CLOCK_PER_SM * floors["clock_mhz"] * 1e3),
        "memory": 2 * (n + m) * d * 4 / (floors["copy_tb_s"] * 1e9),
    }
    name = max(limits, key=limits.get)
    return limits[name], name


def gather_bytes(lookup_bytes, n, width):
    """Forward without augmentation: each value's vector read (again where it occurs again), each result written."""
    return lookup_bytes + 4 * n * width


def two_views_bytes(lookup_bytes, n, width, kept_by_either):
    """Vectors of the values that either view keeps read once, both results written."""
    return kept_by_either * lookup_bytes + 2 * 4 * n * width


def update_bytes(touched_row_bytes, n, width):
    """Both gradients read; weights and one state of each row touched, read and written. touched_row_bytes: of weights and state."""
    return 2 * 4 * n * width + 2 * touched_row_bytes
