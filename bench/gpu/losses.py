"""The loss, forward and backward, against PyTorch, torch.compile and a Triton kernel, and against the device's floors."""
import torch

import floors as device_floors
import peers
from session import attempt, close_to

TEMPERATURE = 0.05
# The most telling first: the time may not suffice for all.
FULL = [(n, n, d) for n in (16384, 65536) for d in (64, 128)] + [(131072, 131072, 64)] + [(n, n, d) for n in (4096, 1024) for d in (64, 128)]
QUICK = [(16384, 16384, 128), (4096, 4096, 64)]
TINY = [(33, 65, 16), (64, 64, 32)]
COMPILED = 2  # of these: seconds go into compiling each
# Compared before anything is timed: sizes, and what the gradients may be off by. Small problems are split until a block has a few tiles, so
# that only large ones go round a kernel's ring of stages, where one wrong tile of a hundred changes little: hence a lower limit.
OURS = [((513, 777, 64), {"bfloat16": 3e-2, "float32": 1e-4}), ((300, 257, 128), {"bfloat16": 3e-2, "float32": 1e-4}),
        ((16391, 16500, 64), {"bfloat16": 1.5e-2, "float32": 1e-4}), ((16391, 16500, 128), {"bfloat16": 1.5e-2, "float32": 1e-4})]
PEERS = [((513, 777, 64), {"bfloat16": 3e-2, "float32": 1e-2})]  # Triton multiplies floats as TF32
DRY = [((65, 77, 32), {"bfloat16": 3e-2, "float32": 1e-4})]


class Case:
    def __init__(self, n, m, d, session):
        generator = torch.Generator(device="cpu").manual_seed(1)
        self.n, self.m, self.d = n, m, d
        self.queries = session.give(torch.randn(n, d, generator=generator)).requires_grad_()
        self.candidates = session.give(torch.randn(m, d, generator=generator)).requires_grad_()
        self.log_q = session.give(torch.log(torch.rand(m, generator=generator) * 0.01 + 1e-5))
        self.session = session

    def ours(self, context, precision):
        grads = self.session.empty(self.n, self.d), self.session.empty(self.m, self.d)
        pointers = {"queries": self.queries.data_ptr(), "candidates": self.candidates.data_ptr(),
                    "log_q": self.log_q.data_ptr(), "grad_queries": grads[0].data_ptr(),
                    "grad_candidates": grads[1].data_ptr()}

        def step():
            context.sampled_softmax(self.n, self.m, self.d, 1 / TEMPERATURE, precision, **pointers)
            return grads
        return step

    def peer(self, loss, dtype):
        return peers.step_of(loss, self.queries, self.candidates, self.log_q, 1 / TEMPERATURE, getattr(torch, dtype))


def check(session, case, dtype, step, limit):
    """Gradients against PyTorch's in float64; raises where a wrong kernel would be timed."""
    found = [gradient.detach() for gradient in step()]
    session.context.synchronize()
    q = case.queries.detach().double().requires_grad_()
    c = case.candidates.detach().double().requires_grad_()
    peers.eager_loss(q, c, case.log_q.double(), 1 / TEMPERATURE, torch.float64).backward()
    for name, ours, exact in (("grad_queries", found[0], q.grad), ("grad_candidates", found[1], c.grad)):
        close_to(f"{dtype} {case.n}x{case.m}x{case.d} {name}", ours, exact, limit)


def measure(session, step, workspace):
    peak = session.watch_memory()
    median, least = session.clock(step)
    found = {"ms_median": median, "ms_min": least}
    if session.on_gpu:
        found["extra_mib"] = peak() + workspace() / 2**20
    return found


def run(session, results):
    ours = "twintail-hopper" if session.options.group == "hopper" else "twintail"
    floors = measured_floors(session, results)

    def own_step(case, dtype):
        return case.ours(session.context, dtype)
    dtypes = [dtype for dtype in (("bfloat16",) if ours == "twintail-hopper" else ("bfloat16", "float32"))
              if is_right(session, results, ours, dtype, own_step, OURS)]
    cases = TINY if not session.on_gpu else QUICK if session.options.quick else FULL
    for n, m, d in cases:
        for dtype in dtypes:
            time(session, results, floors, (n, m, d, dtype), ours, own_step)
    if ours == "twintail-hopper":
        return
    for who, loss, of in rivals(session, cases):
        time_peer(session, results, floors, who, loss, of)


def time_peer(session, results, floors, who, loss, cases):
    def step(case, dtype):
        return case.peer(loss, dtype)
    # What a compiler makes of the eager loss is not compared: that would be one more shape to compile.
    right = [dtype for dtype in ("bfloat16", "float32") if who == "torch.compile" or is_right(session, results, who, dtype, step, PEERS)]
    for n, m, d in cases:
        for dtype in right:
            time(session, results, floors, (n, m, d, dtype), who, step)


def measured_floors(session, results):
    """Of this run: by this group or by one before it."""
    if not session.on_gpu:
        return None
    found = results.all["device"] or {}
    if "clock_mhz" not in found:
        results.floors(device_floors.measure(torch, session.clock, session.options.quick))
    return results.all["device"]


def is_right(session, results, who, dtype, step_of, cases):
    """A wrong kernel is told and not timed; the other dtype still is."""
    try:
        for (n, m, d), limits in cases if session.on_gpu else DRY:
            case = Case(n, m, d, session)
            check(session, case, dtype, step_of(case, dtype), limits[dtype])
    except Exception as error:
        results.add({"case": "loss_check", "n": n, "m": m, "d": d, "dtype": dtype, "who": who, "error": str(error)[:200]})
        print(f"{who}, {dtype}: not timed: {error}", flush=True)
        return False
    return True


def rivals(session, cases):
    if not session.on_gpu:
        return [("torch", peers.eager_loss, cases)]
    found = [(name, loss, cases) for name, loss in peers.all_peers(compiled=False).items()]
    return found + [("torch.compile", torch.compile(peers.eager_loss, dynamic=False), cases[:COMPILED])]


def time(session, results, floors, shape, who, step_of):
    n, m, d, dtype = shape
    about = {"n": n, "m": m, "d": d, "dtype": dtype, "who": who}
    if session.left() < 0:
        return results.skip("loss_step", "out of time", **about)
    if session.on_gpu:
        torch._dynamo.reset()  # it gives up on a function that was compiled for too many shapes
    case = Case(n, m, d, session)
    workspace = session.context.workspace_bytes if who.startswith("twintail") else lambda: 0
    row = attempt(results, {"case": "loss_step", **about}, lambda: measure(session, step_of(case, dtype), workspace))
    if floors and "ms_median" in row:
        row["floor_ms"], row["floor"] = device_floors.loss_floor_ms(floors, n, m, d, dtype)
        row["fraction_of_floor"] = row["floor_ms"] / row["ms_median"]
    results.add(row)
    print_row(row)


def print_row(row):
    name = f'{row["n"]:>7} x {row["m"]:<7} d={row["d"]:<4} {row["dtype"]:9} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
        return
    floor = f'{100 * row["fraction_of_floor"]:6.1f} % of the floor ({row["floor"]})' if "floor" in row else ""
    print(f'{name} {row["ms_median"]:10.3f} ms {row.get("extra_mib", float("nan")):10.1f} MiB {floor}', flush=True)
