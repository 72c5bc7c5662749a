"""Embedding vectors of multi-valued features: plain forward, both augmented views, backward with row-wise Adagrad, in bytes a second
against the copy bandwidth measured in the same run, and against PyTorch's EmbeddingBag.

Calls take batch after batch, so that a batch's rows are not in the caches already; frequent rows are, as in use. Bytes are those that
docs/performance.md counts ("gather"): vectors read for each lookup, also where a row is looked up twice. Very long-tailed ids can
therefore come out above the copy bandwidth.
"""
import ctypes

import torch

import data
import floors
import peers_gather
import twintail
from session import attempt, close_to, if_able, unless_wrong

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
COMPILE_SECONDS = 20  # torch.compile is not begun with less left,
CASE_SECONDS = 30     # and so many for each case that is still to come


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
    for at, (name, dims, vocabulary, rows, n, draw) in enumerate(cases):
        shape = {"n": n, "m": vocabulary, "d": sum(dims), "dtype": "float32", "data": name}
        # ours, its first weights, those after two steps, a peer's, and what PyTorch holds besides
        need = 5 * 4 * vocabulary * sum(dims) + 2**31
        if session.left() < 0:
            results.skip("gather", "out of time", **shape)
        elif need > session.free_bytes():
            results.skip("gather", f"needs {need / 2**30:.0f} GiB, {session.free_bytes() / 2**30:.0f} GiB are free", **shape)
        else:
            unless_wrong(results, {"case": "gather", **shape},
                         lambda: Group(session, results, shape, copy, Case(session, dims, vocabulary, rows, n, draw),
                                       CASE_SECONDS * (len(cases) - 1 - at)).run())


class Group:
    def __init__(self, session, results, shape, copy, case, kept):
        """kept: seconds that the cases to come want."""
        self.session, self.results, self.shape, self.copy, self.case, self.kept = session, results, shape, copy, case, kept

    def run(self):
        try:
            self._forward()
            self._step()
        finally:
            self.case.table.close()

    def _time(self, name, who, call, useful, distinct=None):
        def measure():
            peak = self.session.watch_memory()
            row = self.session.clock.series(call, 4 * BATCHES if self.session.on_gpu else 2, held=True)
            row["extra_mib"] = peak()
            row["gb_s"] = useful / row["ms_median"] / 1e6
            if self.copy:
                row["fraction_of_copy"] = row["gb_s"] / self.copy / 1e3
                row["floor_ms"] = useful / self.copy / 1e9
            return row
        row = attempt(self.results, {"case": name, **self.shape, "who": who, "useful_mb": useful / 1e6}, measure)
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
        case = self.case
        first = [w.clone() for w in case.weights]
        recorded = [case.kept(step) for step in range(2)]
        for step in range(2):
            case.step(step)
        case.session.context.synchronize()
        found = [case.vectors.clone(), [w.clone() for w in case.weights], [s.clone() for s in case.states]]

        def compared(who, make):
            """The peer: it goes on from there when it is timed. Nothing that was not compared is."""
            peer = make([w.clone() for w in first], [torch.zeros_like(s) for s in case.states], case.gradient, RATE, EPSILON)
            for bags in recorded:
                vectors = peer(bags)
            self._compare(who, peer, vectors, found, first, recorded)
            return peer

        def row(who):
            return {"case": "gather_step", **self.shape, "who": who}

        # Every peer is compared before it is timed, eager before ours; what is compiled comes last.
        eager = if_able(self.results, row("torch"), lambda: compared("torch", peers_gather.SparseStep))
        useful = self._time_ours(recorded)
        others = {"torch best": peers_gather.MergedStep}
        if self.session.on_gpu:
            others["torch.compile"] = lambda *rest: peers_gather.MergedStep(*rest, update=peers_gather.compiled_update())
        draws = [peers_gather.DeviceDraws(flat, case.n, MASK_RATE, VALUE_RATE) for flat in case.flat]
        if eager is not None:
            self._time_peer("torch", eager, draws, recorded, useful)
        del eager  # its tables
        for who, make in others.items():
            if who == "torch.compile" and self.session.left() < COMPILE_SECONDS + self.kept:
                self.results.skip("gather_step", "out of time", **{**self.shape, "who": who})
                continue
            unless_wrong(self.results, row(who), lambda: self._time_peer(who, compared(who, make), draws, recorded, useful))

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

    def _time_ours(self, recorded):
        """Returns the useful bytes of a step."""
        case = self.case
        touched = sum(4 * (d + 1) * len(torch.unique(bags.values)) for d, bags in zip(case.dims, recorded[0]))
        views = floors.two_views_bytes(case.lookup_bytes, case.n, case.width, KEPT_BY_EITHER)
        update = floors.update_bytes(touched, case.n, case.width)
        self._time("gather_two_views", "twintail", rotating(case.two_views), views)
        self._time("gather_backward_update", "twintail", rotating(case.update), update)
        self._time("gather_step", "twintail", rotating(case.step), views + update)
        return views + update

    def _time_peer(self, who, peer, draws, recorded, useful):
        self._time("gather_step", who, rotating(lambda i: peer(draws[i % BATCHES]())), useful)
        # masks and lists made beforehand, which no trainer has: what the masks cost the peer
        self._time("gather_step_lists_given", who, rotating(lambda i: peer(recorded[i % 2])), useful)


def print_row(row):
    name = f'{row["case"]:26} {row["data"]:15} n={row["n"]:<7} d={row["d"]:<4} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
        return
    part = f'{100 * row["fraction_of_copy"]:6.1f} % of copying' if "fraction_of_copy" in row else ""
    print(f'{name} {row["ms_median"]:9.4f} ms (wall {row["wall_ms"]:.4f}, host {row["host_ms"]:.4f}) {row["gb_s"]:8.1f} GB/s {part}', flush=True)
