"""The loss, forward and backward, against PyTorch, torch.compile and a Triton kernel, and against the device's floors."""
import torch

import floors as device_floors
import peers
from session import NOT_HELD, OUT_OF_TIME, attempt, close_to, text_of

TEMPERATURE = 0.05
# The most telling first: the time may not suffice for all.
FULL = [(n, n, d) for n in (16384, 65536) for d in (64, 128)] + [(131072, 131072, 64)] + [(n, n, d) for n in (4096, 1024) for d in (64, 128)]
QUICK = [(16384, 16384, 128), (4096, 4096, 64)]
TINY = [(33, 65, 16), (64, 64, 32)]
COMPILED = 2          # of these: seconds go into compiling each
COMPILE_SECONDS = 20  # with less left none is begun
TUNE_SECONDS = 8      # the same for a first Triton kernel of a width and precision
TUNE_SHARE = 0.3      # of the time that is left, for the tiles of one width and precision
# Compared before anything is timed: sizes, and what the gradients may be off by. Small problems are split until a block has a few tiles, so
# that only large ones go round a kernel's ring of stages, where one wrong tile of a hundred changes little: hence a lower limit.
OURS = [((513, 777, 64), {"bfloat16": 3e-2, "float32": 1e-4}), ((257, 300, 128), {"bfloat16": 3e-2, "float32": 1e-4}),
        ((16391, 16500, 64), {"bfloat16": 1.5e-2, "float32": 1e-4}), ((16391, 16500, 128), {"bfloat16": 1.5e-2, "float32": 1e-4})]
EAGER = [((513, 777, 64), {"bfloat16": 3e-2, "float32": 1e-4})]
# Triton multiplies floats as TF32. Sizes that 16 divides and no tile: it compiles others anew, and those that are timed are such.
TRITON, TRITON_LIMIT = (528, 784), {"bfloat16": 3e-2, "float32": 1e-2}
DRY_MOST = 1000  # rows: a dry run leaves out the larger ones of these


class Case:
    def __init__(self, n, m, d, session):
        assert n <= m, "without positives every query needs a candidate of its own"
        generator = torch.Generator(device="cpu").manual_seed(1)
        self.n, self.m, self.d = n, m, d
        self.queries = session.give(torch.randn(n, d, generator=generator)).requires_grad_()
        self.candidates = session.give(torch.randn(m, d, generator=generator)).requires_grad_()
        self.log_q = session.give(torch.log(torch.rand(m, generator=generator) * 0.01 + 1e-5))
        self.session = session

    def ours(self, context, precision):
        grads = self.session.empty(self.n, self.d), self.session.empty(self.m, self.d)
        total = self.session.zeros(1, dtype=torch.float64)  # the peers work out the loss, too
        pointers = {"queries": self.queries.data_ptr(), "candidates": self.candidates.data_ptr(),
                    "log_q": self.log_q.data_ptr(), "grad_queries": grads[0].data_ptr(),
                    "grad_candidates": grads[1].data_ptr()}

        def step():
            context.sampled_softmax(self.n, self.m, self.d, 1 / TEMPERATURE, precision, total=total.data_ptr(), **pointers)
            return grads
        return step

    def peer(self, loss, dtype):
        """Its gradients are made anew in each step: none is left of a peer before, for memory is counted from here on."""
        self.queries.grad = self.candidates.grad = None
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


def run(session, results):
    group, cases = session.options.group, TINY if not session.on_gpu else QUICK if session.options.quick else FULL
    ours = Ours(session, "twintail-hopper" if group == "hopper" else "twintail")
    found = [ours] if group == "hopper" else rivals(session) if session.options.peers_only else [ours, *rivals(session)]
    floors = measured_floors(session, results)
    for shape, dtype, candidate in plan(cases, ("bfloat16",) if group == "hopper" else ("bfloat16", "float32"), found):
        time(session, results, floors, shape, dtype, candidate)


def plan(cases, dtypes, candidates):
    """(size, dtype, candidate) in the order in which they are timed: ours at all sizes, then what is ready at once, and only then what a
    compiler has to work on for seconds, one dtype after the other, since each of them is compiled or tuned anew."""
    ready, slow = ([c for c in candidates if c.prepares == is_slow] for is_slow in (False, True))
    return ([(shape, dtype, candidate) for candidate in ready for dtype in dtypes for shape in candidate.of(cases)] +
            [(shape, dtype, candidate) for dtype in dtypes for candidate in slow for shape in candidate.of(cases)])


def rivals(session):
    eager = Eager(session)
    if not session.on_gpu:
        return [eager]
    return [eager, *([Triton(session)] if peers.triton is not None else []), Compiled(session)]


def measured_floors(session, results):
    """Of this run: by this group or by one before it."""
    if not session.on_gpu:
        return None
    if "clock_mhz" not in (results.all["device"] or {}):
        found = device_floors.unless_unable(lambda: device_floors.measure(torch, session.clock, session.options.quick))
        if found is None:
            return None
        results.floors(found)
    return results.all["device"]


class Candidate:
    """Something that is timed. checks: sizes and limits that it is compared at first, once for each dtype. prepares: for seconds."""
    who, checks, prepares = "", (), False

    def __init__(self, session):
        self.session, self.right = session, {}

    def of(self, cases):
        """Those of the sizes that it is timed at."""
        return cases

    def seconds(self, d, dtype):
        """What it may need before anything is timed."""
        return 0

    def step(self, case, dtype):
        """What is timed, and what its row is to tell besides."""
        raise NotImplementedError

    def is_right(self, results, dtype):
        """A wrong kernel is told and not timed; the other dtype still is."""
        if dtype not in self.right:
            self.right[dtype] = all(self._agrees(results, shape, dtype, limits[dtype]) for shape, limits in self.checks
                                    if self.session.on_gpu or max(shape) < DRY_MOST)
        return self.right[dtype]

    def _agrees(self, results, shape, dtype, limit):
        def compare():
            case = Case(*shape, self.session)
            check(self.session, case, dtype, self.step(case, dtype)[0], limit)
            return {}
        row = attempt(results, {"case": "loss_check", **dict(zip("nmd", shape)), "dtype": dtype, "who": self.who}, compare)
        if "error" in row:
            results.add(row)
            print(f"{self.who}, {dtype}: not timed: {row['error']}", flush=True)
        return "error" not in row


class Ours(Candidate):
    checks = OURS

    def __init__(self, session, who):
        super().__init__(session)
        self.who = who

    def step(self, case, dtype):
        return case.ours(self.session.context, dtype), {}


class Eager(Candidate):
    who, checks = "torch", EAGER

    def step(self, case, dtype):
        return case.peer(peers.eager_loss, dtype), {}


class Compiled(Candidate):
    """What a compiler makes of the eager loss is not compared: that would be one more shape to compile."""
    who, prepares = "torch.compile", True

    def of(self, cases):
        return cases[:COMPILED]

    def seconds(self, d, dtype):
        return COMPILE_SECONDS

    def step(self, case, dtype):
        torch._dynamo.reset()  # it gives up on a function that was compiled for too many shapes
        return case.peer(torch.compile(peers.eager_loss, dynamic=False), dtype), {}


class Triton(Candidate):
    """With the fastest of the tiles that were tried and are right, for each d and dtype, found on the first size that is timed."""
    who, prepares = "triton two-pass", True

    def __init__(self, session):
        super().__init__(session)
        self.tiles = {}  # (d, dtype) -> what `_fastest` has found

    def seconds(self, d, dtype):
        return 0 if (d, dtype) in self.tiles else TUNE_SECONDS

    def step(self, case, dtype):
        key = case.d, dtype
        if key not in self.tiles:
            self.tiles[key] = self._fastest(case, dtype)
        tiles, tried = self.tiles[key]
        if tiles is None:
            raise RuntimeError(f"no tiles of {peers.TILES[:tried]} are right for d={case.d}, {dtype}")
        kept, passed, warps = tiles
        return (case.peer(peers.triton_loss(tiles), dtype),
                {"tiles": f"{kept}x{passed}, {warps} warps", "tiles_tried": f"{tried} of {len(peers.TILES)}"})

    def _fastest(self, case, dtype):
        """The tiles, or None, and how many were tried: no more than a share of the time allows, for a compiler takes seconds for each."""
        small, found, tried = Case(*TRITON, case.d, self.session), {}, 0
        least, longest = (1 - TUNE_SHARE) * self.session.left(), 0.0
        for tiles in peers.TILES:
            left = self.session.left()
            if found and left - longest < least:
                break
            tried += 1
            try:
                loss = peers.triton_loss(tiles)
                check(self.session, small, dtype, small.peer(loss, dtype), TRITON_LIMIT[dtype])
                found[tiles] = self.session.clock(case.peer(loss, dtype)).median
                print(f"triton, d={case.d}, {dtype}, tiles {tiles}: {found[tiles]:.3f} ms", flush=True)
            except Exception as error:  # wrong, or more registers or shared memory than there are
                print(f"triton, d={case.d}, {dtype}, tiles {tiles}: {text_of(error)}", flush=True)
            longest = max(longest, left - self.session.left())
        return min(found, key=found.get, default=None), tried


def time(session, results, floors, shape, dtype, candidate):
    n, m, d = shape
    about = {"n": n, "m": m, "d": d, "dtype": dtype, "who": candidate.who}
    if session.options.peers_only and results.has({"case": "loss_step", **about}):
        return
    if session.left() < candidate.seconds(d, dtype):
        results.skip("loss_step", OUT_OF_TIME, **about)
        return
    if candidate.is_right(results, dtype):
        row = attempt(results, {"case": "loss_step", **about}, lambda: measure(session, floors, Case(n, m, d, session), dtype, candidate))
        print_row(results.add(row))


def measure(session, floors, case, dtype, candidate):
    step, found = candidate.step(case, dtype)
    peak = session.watch_memory()
    times = session.clock(step)
    found["ms_median"], found["ms_min"] = times.median, times.least
    if session.on_gpu:
        found["held"] = times.held
        gradients = 0 if isinstance(candidate, Ours) else (case.n + case.m) * case.d * 4  # ours lie ready
        found["extra_mib"] = peak() - gradients / 2**20
    if floors:
        found["floor_ms"], found["floor"] = device_floors.loss_floor_ms(floors, case.n, case.m, case.d, dtype)
        found["fraction_of_floor"] = found["floor_ms"] / found["ms_median"]
    return found


def print_row(row):
    name = f'{row["n"]:>7} x {row["m"]:<7} d={row["d"]:<4} {row["dtype"]:9} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
        return
    floor = f'{100 * row["fraction_of_floor"]:6.1f} % of the floor ({row["floor"]})' if "floor" in row else ""
    tiles = f' tiles {row["tiles"]} ({row["tiles_tried"]} tried)' if "tiles" in row else ""
    gaps = NOT_HELD if row.get("held") is False else ""
    print(f'{name} {row["ms_median"]:10.3f} ms {row.get("extra_mib", float("nan")):10.1f} MiB {floor}{tiles}{gaps}', flush=True)
