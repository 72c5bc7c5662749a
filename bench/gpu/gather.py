"""Embedding vectors of multi-valued features: plain forward, both augmented views, backward with row-wise Adagrad, in bytes a second
against the copy bandwidth measured in the same run, and against PyTorch's EmbeddingBag.

Calls take batch after batch, so that a batch's rows are not in the caches already; frequent rows are, as in use. Bytes are those that
docs/performance.md counts ("gather"): vectors read for each lookup, also where a row is looked up twice. Very long-tailed ids can
therefore come out above the copy bandwidth. What torch.compile has to compile comes after everything else, at all sizes.
"""
import ctypes

import torch

import data
import floors
import peers_gather
import twintail
from session import NOT_HELD, OUT_OF_TIME, attempt, close_to, if_able, unless_wrong

MASK_RATE = VALUE_RATE = 0.2
RATE, EPSILON = 0.05, 1e-8
KEPT_BY_EITHER = 1 - (1 - (1 - MASK_RATE) * (1 - VALUE_RATE))**2
EIGHT = [16, 16, 32, 32, 48, 48, 64, 64]
# name, dims, rows of each table, rows of the catalogue, batch, ids
FULL = [("eight features", EIGHT, 1_000_000, 200_000, 8192, data.popular),
        ("zipf", [128], 10_000_000, 200_000, 8192, data.zipf), ("zipf", [128], 10_000_000, 200_000, 65536, data.zipf)]
QUICK = [("eight features", EIGHT, 100_000, 50_000, 8192, data.popular), ("zipf", [128], 1_000_000, 50_000, 8192, data.zipf)]
TINY = [("eight features", [4, 8, 12], 50, 40, 16, data.popular), ("zipf", [16], 80, 40, 24, data.zipf)]
BATCHES = 8
COMPILE_SECONDS = 20  # torch.compile is not begun with less left


class Case:
    def __init__(self, session, dims, vocabulary, rows, n, draw):
        generator = session.generator(7)
        self.session, self.n, self.dims, self.width = session, n, dims, sum(dims)
        self.columns = [data.column(session, generator, f"feature{f}", rows, vocabulary, dim, 9, draw) for f, dim in enumerate(dims)]
        self.batches = [session.give(torch.randint(rows, (n,), generator=generator, device=session.device).int()) for _ in range(BATCHES)]
        self.flat = [[c.of_rows(batch) for c in self.columns] for batch in self.batches]
        self.weights = [session.give(torch.rand(vocabulary, d, generator=generator, device=session.device) - 0.5) for d in dims]
        self.states = [session.zeros(vocabulary) for _ in dims]
        self.vectors = session.empty(2 * n, self.width)
        self.gradient = session.give(torch.rand(2 * n, self.width, generator=generator, device=session.device) - 0.5)
        self._declare(rows)
        self.lookups = sum(len(v) for flat in self.flat for v, _ in flat) / BATCHES
        self.lookup_bytes = sum(4 * d * len(v) for flat in self.flat for (v, _), d in zip(flat, dims)) / BATCHES

    def _declare(self, rows):
        self.table = twintail.FeatureTable(self.session.context, [c.feature(f, twintail.SUM) for f, c in enumerate(self.columns)], rows)
        self.embeddings = (twintail.Embedding * len(self.dims))(*[
            twintail.Embedding(weights=w.data_ptr(), state1=s.data_ptr(), rows=len(w), dim=w.shape[1]) for w, s in zip(self.weights, self.states)])
        self.augmentation = twintail.sized(
            twintail.Augmentation, transforms=twintail.RANDOM_MASK | twintail.VALUE_DROPOUT, maskable=(1 << len(self.dims)) - 1,
            mask_rate=MASK_RATE, value_rate=VALUE_RATE, seed=5)
        self.optimizer = twintail.sized(twintail.Optimizer, kind=twintail.ROWWISE_ADAGRAD, learning_rate=RATE, epsilon=EPSILON)
        self.plain = self._view(0, None)
        self.views = (twintail.GatherView * 2)(*[self._view(v, ctypes.pointer(self.augmentation)) for v in (1, 2)])

    def _view(self, number, augmentation):
        return twintail.GatherView(augmentation=augmentation, n=self.n, ld=self.width, view=number, vectors=self.vectors.data_ptr())

    def _begin(self, step, matrix):
        self.augmentation.step = self.optimizer.step = step
        for v, view in enumerate(self.views):
            view.rows = self.batches[step % BATCHES].data_ptr()
            view.vectors = matrix.data_ptr() + v * 4 * self.n * self.width

    def _gather(self, views, count):
        self.session.context.call("tt_embedding_gather", self.table.handle, self.embeddings, len(self.dims), views, count)

    def forward(self, step):
        self.plain.rows = self.batches[step % BATCHES].data_ptr()
        self._gather(ctypes.byref(self.plain), 1)

    def two_views(self, step):
        self._begin(step, self.vectors)
        self._gather(self.views, 2)

    def update(self, step):
        self._begin(step, self.gradient)
        self.session.context.call("tt_embedding_gather_update", ctypes.byref(self.optimizer), self.table.handle, self.embeddings,
                                  len(self.dims), self.views, 2)

    def step(self, step):
        self.two_views(step)
        self.update(step)

    def kept(self, step):
        """What both views of a step keep, as bags."""
        self._begin(step, self.vectors)
        return [peers_gather.Bags.join([augmented_values(self.session, self.table, view, f) for view in self.views])
                for f in range(len(self.dims))]


def augmented_values(session, table, view, feature):
    """(values, offsets [n + 1]) of tt_augmented_values."""
    offsets = session.empty(view.n + 1, dtype=torch.int64)
    session.context.call("tt_augmented_values", table.handle, ctypes.byref(view), feature, None, offsets.data_ptr(), None, 0)
    session.context.synchronize()
    values = session.empty(int(offsets[-1]), dtype=torch.int32)
    session.context.call("tt_augmented_values", table.handle, ctypes.byref(view), feature, None, offsets.data_ptr(), values.data_ptr(), len(values))
    session.context.synchronize()
    return values, offsets


def rotating(call):
    """A call without arguments that takes the next step each time."""
    steps = iter(range(10**9))
    return lambda: call(next(steps))


def run(session, results):
    copy = floors.unless_unable(lambda: floors.copy_tb_s(torch, session.clock)) if session.on_gpu else None
    if copy:
        results.floors({"gather_copy_tb_s": copy})
    cases = TINY if not session.on_gpu else QUICK if session.options.quick else FULL
    for case in cases:
        run_case(session, results, copy, case, Group.run, "twintail", 0)
    for case in cases if session.on_gpu else ():
        run_case(session, results, copy, case, Group.run_compiled, "torch.compile", COMPILE_SECONDS)


def run_case(session, results, copy, case, part, who, seconds):
    """A part of the group for one case, whose tables are made anew: those of all cases together may not fit."""
    name, dims, vocabulary, rows, n, draw = case
    row = {"case": "gather", "n": n, "m": vocabulary, "d": sum(dims), "dtype": "float32", "data": name, "who": who}
    # ours, its first weights, those after two steps, a peer's, and what PyTorch holds besides
    need = 5 * 4 * vocabulary * sum(dims) + 2**31
    if session.left() < seconds:
        results.skip(why=OUT_OF_TIME, **row)
    elif need > session.free_bytes():
        results.skip(why=f"needs {need / 2**30:.0f} GiB, {session.free_bytes() / 2**30:.0f} GiB are free", **row)
    else:
        def begin():
            made = Case(session, dims, vocabulary, rows, n, draw)
            try:
                part(Group(session, results, {key: row[key] for key in ("n", "m", "d", "dtype", "data")}, copy, made))
            finally:
                made.table.close()
        unless_wrong(results, row, begin)


class Group:
    def __init__(self, session, results, shape, copy, case):
        self.session, self.results, self.shape, self.copy, self.case = session, results, shape, copy, case

    def run(self):
        # A step is worth its time where the forward pass alone is wrong, too.
        unless_wrong(self.results, self._row("gather_forward", "twintail"), self._forward)
        unless_wrong(self.results, self._row("gather_step", "twintail"), self._step)

    def _row(self, case, who):
        return {"case": case, **self.shape, "who": who}

    def _time(self, name, who, call, useful, held=True):
        def measure():
            peak = self.session.watch_memory()
            row = self.session.clock.series(call, 4 * BATCHES if self.session.on_gpu else 2, held=held)
            row["extra_mib"] = peak()
            row["gb_s"] = useful / row["ms_median"] / 1e6
            if self.copy:
                row["fraction_of_copy"] = row["gb_s"] / self.copy / 1e3
                row["floor_ms"] = useful / self.copy / 1e9
            return row
        row = attempt(self.results, {**self._row(name, who), "useful_mb": useful / 1e6}, measure)
        self.results.add(row)
        print_row(row)

    def _forward(self):
        case, tables = self.case, self.case.weights
        bags = [[peers_gather.Bags.of(v, o) for v, o in flat] for flat in case.flat]
        short = [[peers_gather.Bags(b.values.int(), b.starts.int(), b.bags) for b in batch] for batch in bags]
        case.forward(0)
        case.session.context.synchronize()
        close_to("gather_forward", case.vectors[:case.n], torch.cat(peers_gather.forward(tables, bags[0]), 1), 1e-6)
        useful = floors.gather_bytes(case.lookup_bytes, case.n, case.width)
        self._time("gather_forward", "twintail", rotating(case.forward), useful)
        with torch.no_grad():
            self._time("gather_forward", "torch", rotating(lambda i: torch.cat(peers_gather.forward(tables, bags[i % BATCHES]), 1)), useful)
            # 32-bit indices; the concatenation that a tower needs is not even done
            self._time("gather_forward", "torch best", rotating(lambda i: peers_gather.forward(tables, short[i % BATCHES])), useful)

    def _step(self):
        """Every peer is compared before it is timed, eager before ours."""
        first, recorded, found = self._first_steps()
        eager = if_able(self.results, self._row("gather_step", "torch"),
                        lambda: self._compared("torch", peers_gather.SparseStep, first, recorded, found))
        useful = self._useful(recorded)
        self._time_ours(useful)
        draws = self._draws()
        if eager is not None:
            self._time_peer("torch", eager, draws, recorded, sum(useful))
        del eager  # its tables
        self._run_peer("torch best", peers_gather.MergedStep, draws, first, recorded, found)

    def run_compiled(self):
        def make(*rest):
            return peers_gather.MergedStep(*rest, update=peers_gather.compiled_update())
        first, recorded, found = self._first_steps()
        self._run_peer("torch.compile", make, self._draws(), first, recorded, found)

    def _first_steps(self):
        """First weights, what two steps keep, and what they come to: vectors, weights, states."""
        case = self.case
        first = [w.clone() for w in case.weights]
        recorded = [case.kept(step) for step in range(2)]
        for step in range(2):
            case.step(step)
        case.session.context.synchronize()
        return first, recorded, [case.vectors.clone(), [w.clone() for w in case.weights], [s.clone() for s in case.states]]

    def _draws(self):
        return [peers_gather.DeviceDraws(flat, self.case.n, MASK_RATE, VALUE_RATE) for flat in self.case.flat]

    def _run_peer(self, who, make, draws, first, recorded, found):
        unless_wrong(self.results, self._row("gather_step", who), lambda: self._time_peer(
            who, self._compared(who, make, first, recorded, found), draws, recorded, sum(self._useful(recorded))))

    def _compared(self, who, make, first, recorded, found):
        """The peer: it goes on from there when it is timed. Nothing that was not compared is."""
        peer = make([w.clone() for w in first], [torch.zeros_like(s) for s in self.case.states], self.case.gradient, RATE, EPSILON)
        for bags in recorded:
            vectors = peer(bags)
        self._compare(who, peer, vectors, found, first, recorded)
        return peer

    def _compare(self, who, peer, vectors, found, first, recorded):
        close_to(f"two views, {who}", found[0], vectors, 1e-4)
        for f, (weights, state) in enumerate(zip(peer.tables, peer.states)):
            rows = torch.unique(torch.cat([bags[f].values for bags in recorded]))
            close_to(f"change of table {f}, {who}", found[1][f][rows] - first[f][rows], weights.detach()[rows] - first[f][rows], 1e-4)
            close_to(f"state of table {f}, {who}", found[2][f], state, 1e-4)
            is_moved = (found[1][f] != first[f]).any(1)
            is_moved[rows] = False
            if is_moved.any():
                raise AssertionError(f"rows of table {f} moved that no view had read: {is_moved.nonzero()[:5].flatten().tolist()}")

    def _useful(self, recorded):
        """Useful bytes of both views and of an update."""
        case = self.case
        touched = sum(4 * (d + 1) * len(torch.unique(bags.values)) for d, bags in zip(case.dims, recorded[0]))
        return (floors.two_views_bytes(case.lookup_bytes, case.n, case.width, KEPT_BY_EITHER), floors.update_bytes(touched, case.n, case.width))

    def _time_ours(self, useful):
        self._time("gather_two_views", "twintail", rotating(self.case.two_views), useful[0])
        self._time("gather_backward_update", "twintail", rotating(self.case.update), useful[1])
        self._time("gather_step", "twintail", rotating(self.case.step), sum(useful))

    def _time_peer(self, who, peer, draws, recorded, useful):
        """Not held: sizes that depend on the data (kept values, distinct rows) make the host wait for the device within a step."""
        self._time("gather_step", who, rotating(lambda i: peer(draws[i % BATCHES]())), useful, held=False)
        # masks and lists made beforehand, which no trainer has: what the masks cost the peer
        self._time("gather_step_lists_given", who, rotating(lambda i: peer(recorded[i % 2])), useful, held=False)


def print_row(row):
    name = f'{row["case"]:26} {row["data"]:15} n={row["n"]:<7} d={row["d"]:<4} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
        return
    part = f'{100 * row["fraction_of_copy"]:6.1f} % of copying' if "fraction_of_copy" in row else ""
    gaps = NOT_HELD if row.get("held") is False else ""
    print(f'{name} {row["ms_median"]:9.4f} ms (wall {row["wall_ms"]:.4f}, host {row["host_ms"]:.4f}) {row["gb_s"]:8.1f} GB/s {part}{gaps}',
          flush=True)
