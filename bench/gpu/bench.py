"""Times the loss, forward and backward, against PyTorch, torch.compile and a Triton kernel, and against the device's floors.

    python3 bench.py --library libtwintail.so --plugin libtwintail_cuda.so --out DIR [--quick] [--seconds N]
    python3 bench.py --library libtwintail.so --out DIR --dry-run     on the CPU, tiny: does the bench itself work?
"""
import argparse
import json
import os
import statistics
import sys
import time

try:
    import torch
except ImportError:
    sys.exit("bench.py: error: needs Python with PyTorch; `python3 -c 'import torch'` fails here")

import floors as device_floors
import peers
import twintail

TEMPERATURE = 0.05
FULL = [(n, n, d) for d in (64, 128) for n in (1024, 4096, 16384, 65536)] + [(131072, 131072, 64)]
QUICK = [(4096, 4096, 64), (16384, 16384, 128)]
TINY = [(33, 65, 16), (64, 64, 32)]


class Clock:
    """Median and minimum of one call in milliseconds, by CUDA events or, in a dry run, the host's clock."""

    def __init__(self, on_gpu, stream, seconds):
        self.on_gpu, self.stream, self.seconds = on_gpu, stream, seconds

    def __call__(self, call):
        call()  # compiles, allocates
        first = self._once(call)
        times = [self._once(call) for _ in range(max(3, min(50, int(self.seconds * 1e3 / max(first, 1e-3)))))]
        return statistics.median(times), min(times)

    def _once(self, call):
        if not self.on_gpu:
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e3
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record(self.stream)
        call()
        end.record(self.stream)
        end.synchronize()
        return start.elapsed_time(end)


class Case:
    def __init__(self, n, m, d, device):
        generator = torch.Generator(device="cpu").manual_seed(1)
        self.n, self.m, self.d = n, m, d
        self.queries = torch.randn(n, d, generator=generator).to(device).requires_grad_()
        self.candidates = torch.randn(m, d, generator=generator).to(device).requires_grad_()
        self.log_q = torch.log(torch.rand(m, generator=generator) * 0.01 + 1e-5).to(device)

    def ours(self, context, precision):
        grads = torch.empty_like(self.queries), torch.empty_like(self.candidates)
        pointers = {"queries": self.queries.data_ptr(), "candidates": self.candidates.data_ptr(),
                    "log_q": self.log_q.data_ptr(), "grad_queries": grads[0].data_ptr(),
                    "grad_candidates": grads[1].data_ptr()}

        def step():
            context.sampled_softmax(self.n, self.m, self.d, 1 / TEMPERATURE, precision, **pointers)
            return grads
        return step

    def peer(self, loss, dtype):
        return peers.step_of(loss, self.queries, self.candidates, self.log_q, 1 / TEMPERATURE, getattr(torch, dtype))


def open_contexts(library, on_gpu, stream, hopper):
    """Our contenders: the default kernels and, where asked for, those on wgmma."""
    device, handle = (twintail.CUDA, stream.cuda_stream) if on_gpu else (twintail.CPU, None)
    contexts = {"twintail": twintail.Context(library, device, handle)}
    if hopper:
        os.environ["TWINTAIL_CUDA_KERNELS"] = "hopper"
        contexts["twintail-hopper"] = twintail.Context(library, device, handle)
        del os.environ["TWINTAIL_CUDA_KERNELS"]
    return contexts


def check(context, case, dtype):
    """Ours against PyTorch in float64; raises where a wrong kernel would be timed."""
    found = case.ours(context, dtype)()
    context.synchronize()
    q = case.queries.detach().double().requires_grad_()
    c = case.candidates.detach().double().requires_grad_()
    peers.eager_loss(q, c, case.log_q.double(), 1 / TEMPERATURE, torch.float64).backward()
    limit = 3e-2 if dtype == "bfloat16" else 1e-4
    for name, ours, exact in (("grad_queries", found[0], q.grad), ("grad_candidates", found[1], c.grad)):
        error = ((ours.double() - exact).norm() / exact.norm()).item()
        print(f"check {dtype} {case.n}x{case.m}x{case.d} {name}: relative error {error:.1e} (limit {limit:.0e})")
        if not error < limit:
            raise AssertionError(f"{name} is wrong: nothing is timed")


def measure(row, step, clock, on_gpu, workspace):
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    try:
        row["ms_median"], row["ms_min"] = clock(step)
    except (torch.cuda.OutOfMemoryError, twintail.TwintailError) as error:
        row["error"] = str(error).splitlines()[0][:200]
    except Exception as error:  # a peer that cannot compile here must not end the bench, nor go unsaid
        row["error"] = f"{type(error).__name__}: {error}".splitlines()[0][:200]
    if on_gpu:
        row["extra_mib"] = (torch.cuda.max_memory_allocated() - before + workspace()) / 2**20
    return row


def run(options, contexts, clock, floors, rivals):
    on_gpu, rows = not options.dry_run, []
    deadline = time.monotonic() + options.seconds
    device = "cuda" if on_gpu else "cpu"
    for n, m, d in TINY if options.dry_run else QUICK if options.quick else FULL:
        if time.monotonic() > deadline:
            print(f"out of time: {n}x{m}x{d} and what follows is left out")
            break
        case = Case(n, m, d, device)
        for dtype in ("float32", "bfloat16"):
            torch._dynamo.reset()  # it gives up on a function that was compiled for too many shapes
            ours = {name: context for name, context in contexts.items() if dtype == "bfloat16" or name == "twintail"}
            contenders = {**{name: case.ours(context, dtype) for name, context in ours.items()},
                          **{name: case.peer(loss, dtype) for name, loss in rivals.items()}}
            for who, step in contenders.items():
                workspace = ours[who].workspace_bytes if who in ours else lambda: 0
                row = measure({"case": "loss_step", "n": n, "m": m, "d": d, "dtype": dtype, "who": who}, step, clock, on_gpu, workspace)
                if floors and "ms_median" in row:
                    row["floor_ms"], row["floor"] = device_floors.loss_floor_ms(floors, n, m, d, dtype)
                    row["fraction_of_floor"] = row["floor_ms"] / row["ms_median"]
                rows.append(row)
                print_row(row)
        del case
    return rows


def print_row(row):
    name = f'{row["n"]:>7} x {row["m"]:<7} d={row["d"]:<4} {row["dtype"]:9} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
        return
    floor = f'{100 * row["fraction_of_floor"]:6.1f} % of the floor ({row["floor"]})' if "floor" in row else ""
    print(f'{name} {row["ms_median"]:10.3f} ms {row.get("extra_mib", float("nan")):10.1f} MiB {floor}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", dest="core", required=True)
    parser.add_argument("--plugin")
    parser.add_argument("--out", required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--hopper", action="store_true", help="time the wgmma kernels too (compute capability 9.0)")
    parser.add_argument("--seconds", type=float, default=240, help="no new size begins after this time")
    options = parser.parse_args()
    on_gpu = not options.dry_run
    if on_gpu and not torch.cuda.is_available():
        sys.exit("bench.py: error: PyTorch sees no CUDA device; nothing was timed (--dry-run tries the bench on the CPU)")
    torch.backends.cuda.matmul.allow_tf32 = False
    library = twintail.Library(options.core, options.plugin)
    stream = torch.cuda.Stream() if on_gpu else None
    contexts = open_contexts(library, on_gpu, stream, options.hopper)
    clock = Clock(on_gpu, stream, 0.05 if options.quick or options.dry_run else 0.3)
    with torch.cuda.stream(stream):
        torch.manual_seed(1)
        floors = device_floors.measure(torch, clock, options.quick) if on_gpu else None
        for context in contexts.values():
            for dtype in ("float32", "bfloat16"):
                check(context, Case(513, 777, 64, "cuda" if on_gpu else "cpu"), dtype)
        rivals = peers.all_peers() if on_gpu else {"torch": peers.eager_loss}
        rows = run(options, contexts, clock, floors, rivals)
    for context in contexts.values():
        context.close()
    os.makedirs(options.out, exist_ok=True)
    path = os.path.join(options.out, "gpu.json")
    with open(path, "w") as file:
        json.dump({"device": floors, "rows": rows}, file, indent=1)
    print(f"wrote {path}")
    if any(row["who"] == "twintail" and "error" in row for row in rows):
        sys.exit("bench.py: error: some of Twintail's own runs failed (see the table)")


if __name__ == "__main__":
    main()
