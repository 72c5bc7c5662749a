"""The loss, forward and backward, against PyTorch, torch.compile and a Triton kernel, and against the device's floors."""
import torch

import floors as device_floors
import peers
from session import attempt, close_to

TEMPERATURE = 0.05
FULL = [(n, n, d) for d in (64, 128) for n in (1024, 4096, 16384, 65536)] + [(131072, 131072, 64)]
QUICK = [(4096, 4096, 64), (16384, 16384, 128)]
TINY = [(33, 65, 16), (64, 64, 32)]


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


def check(context, case, dtype):
    """Ours against PyTorch in float64; raises where a wrong kernel would be timed."""
    found = case.ours(context, dtype)()
    context.synchronize()
    q = case.queries.detach().double().requires_grad_()
    c = case.candidates.detach().double().requires_grad_()
    peers.eager_loss(q, c, case.log_q.double(), 1 / TEMPERATURE, torch.float64).backward()
    for name, ours, exact in (("grad_queries", found[0], q.grad), ("grad_candidates", found[1], c.grad)):
        close_to(f"{dtype} {case.n}x{case.m}x{case.d} {name}", ours, exact, 3e-2 if dtype == "bfloat16" else 1e-4)


def measure(session, step, workspace):
    peak = session.watch_memory()
    median, least = session.clock(step)
    found = {"ms_median": median, "ms_min": least}
    if session.on_gpu:
        found["extra_mib"] = peak() + workspace() / 2**20
    return found


def run(session, results):
    floors = device_floors.measure(torch, session.clock, session.options.quick) if session.on_gpu else None
    results.floors(floors)
    for context in session.contexts.values():
        for dtype in ("float32", "bfloat16"):
            check(context, Case(*((513, 777, 64) if session.on_gpu else (65, 77, 32)), session), dtype)
    rivals = peers.all_peers() if session.on_gpu else {"torch": peers.eager_loss}
    for n, m, d in TINY if not session.on_gpu else QUICK if session.options.quick else FULL:
        if session.left() < 0:
            results.skip("loss_step", "out of time", n=n, m=m, d=d)
            continue
        for dtype in ("float32", "bfloat16"):
            run_case(session, results, floors, rivals, Case(n, m, d, session), dtype)


def run_case(session, results, floors, rivals, case, dtype):
    if session.on_gpu:
        torch._dynamo.reset()  # it gives up on a function that was compiled for too many shapes
    ours = {name: context for name, context in session.contexts.items() if dtype == "bfloat16" or name == "twintail"}
    contenders = {**{name: case.ours(context, dtype) for name, context in ours.items()},
                  **{name: case.peer(loss, dtype) for name, loss in rivals.items()}}
    for who, step in contenders.items():
        workspace = ours[who].workspace_bytes if who in ours else lambda: 0
        row = attempt({"case": "loss_step", "n": case.n, "m": case.m, "d": case.d, "dtype": dtype, "who": who},
                      lambda: measure(session, step, workspace))
        if floors and "ms_median" in row:
            row["floor_ms"], row["floor"] = device_floors.loss_floor_ms(floors, case.n, case.m, case.d, dtype)
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
