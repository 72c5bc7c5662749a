"""The whole training step in clicks a second: gather, towers 256-128-64, sampled softmax, contrastive loss on augmented views, backward,
updates; ours through the C ABI (the native loop, call by call as src/Sdk/Training/TrainingStep.cs makes them), against the same model in
PyTorch eager and torch.compile. Values and first weights are the same; first losses and gradients are compared. Ours is timed call by call
and as a CUDA graph (the SDK's default), with the time in which the device does nothing between its kernels, which is found last. Eager
PyTorch is compared before ours is timed, every other peer before it is timed itself; what is compiled comes after all else, for both
precisions, where the time suffices.

The peers get the lists of kept values of four steps made beforehand (by tt_augmented_values): drawing, masking and making
lists are within our step and not within theirs.
"""
import torch

import data
import peers_step
from clock import apart, busy_row, covered
from gather import rotating
from native_step import NativeStep
from session import OUT_OF_TIME, attempt, close_to, if_able, unless_wrong

# name, items, users, most clicks of a user, columns, clicks n, self-supervised items m, tower
FULL = [("goodbooks-like", 10_000, 48_000, 37, data.GOODBOOKS, 8192, 4096, (256, 128, 64))]
QUICK = FULL
TINY = [("goodbooks-like", 40, 30, 9, data.TINY, 24, 16, (16, 8, 8))]
STEPS = 4
LIMIT = {"float32": 1e-3, "bfloat16": 5e-2}
COMPILE_SECONDS, GAPS_SECONDS = 40, 8  # what is compiled must leave time to find the gaps


def run(session, results):
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4 and [len(s) for s in apart([(5e6, 6e6), (0, 2), (1, 3)])] == [2, 1]
    assert busy_row([(0, 2), (1, 3)], 2, "")["kernels"] == 1 and "busy_unknown" in busy_row([(0, 2)], 2, "")
    precisions, open_steps = [], []
    for name, items, users, most, columns, n, m, tower in FULL if session.on_gpu else TINY:
        clicks = data.Clicks(session, items, users, most, columns, dim=64 if session.on_gpu else 8)
        for dtype in ("float32", "bfloat16"):
            shape = {"case": "training_step", "n": n, "m": m, "d": tower[-1], "dtype": dtype, "data": name}
            if session.left() < 0:
                results.skip(why=OUT_OF_TIME, **shape)
                continue

            def begin():
                precision = Precision(session, results, shape, clicks, tower)
                precision.run(open_steps)
                precisions.append(precision)
            unless_wrong(results, shape, begin)
    for precision in precisions if session.on_gpu else ():
        precision.run_compiled()
    find_gaps(session, results, open_steps)
    for step in open_steps:
        step.ours.close()


class OpenStep:
    """Ours, going on from step to step, and the row of its times."""

    def __init__(self, ours):
        self.ours, self.row, self.step = ours, None, STEPS

    def __call__(self):
        self.ours.run(self.step)
        self.step += 1


def find_gaps(session, results, open_steps):
    timed = [step for step in open_steps if step.row and "error" not in step.row]
    for step, found in zip(timed, session.clock.busy(timed, 20 if session.on_gpu else 2)):
        gap = step.row["ms_median"] - found["busy_ms"] if found["busy_ms"] else None
        results.complete(step.row, {**found, "gap_ms": gap})
        if gap:
            print_row(step.row)


class Precision:
    """Ours and the peers in one dtype, and what they are compared with: our first steps."""

    def __init__(self, session, results, shape, clicks, tower):
        self.session, self.results, self.shape, self.dtype = session, results, shape, shape["dtype"]
        log = clicks.listed(session)

        def make(graph):
            return NativeStep(session, clicks, log, shape["n"], shape["m"], tower, self.dtype, graph)
        self.make, self.ours = make, make(graph=False)
        self.recorded = [self.ours.lists(step) for step in range(STEPS)]
        self.first = peers_step.Model.copy(self.ours)
        self.ours.run(0)
        self.found = self.ours.after_first_step()
        self.ours.run(1)
        self.second = self.ours.losses(1)

    def run(self, open_steps):
        eager = if_able(self.results, self._row("torch"), lambda: self._compared("torch", peers_step.Eager))
        for step in range(2, STEPS):
            self.ours.run(step)
        self.ours.context.synchronize()
        expected = [t.clone() for t in values_of(self.ours)]
        self._time_ours("twintail", self.ours, open_steps)
        unless_wrong(self.results, self._row("twintail graph"), lambda: self._run_graph(expected, open_steps))
        if eager is not None:
            self._time_peer("torch", eager)
        unless_wrong(self.results, self._row("torch best"), lambda: self._time_peer("torch best", self._compared("torch best", peers_step.Merged)))

    def run_compiled(self):
        row = self._row("torch.compile")
        if self.session.left() < COMPILE_SECONDS + GAPS_SECONDS:
            self.results.skip(why=OUT_OF_TIME, **row)
        else:
            unless_wrong(self.results, row, lambda: self._time_peer("torch.compile", self._compared("torch.compile", peers_step.Compiled)))

    def _row(self, who):
        return {**self.shape, "who": who}

    def _compared(self, who, make):
        """The peer: it goes on from there when it is timed. Nothing that was not compared is."""
        peer = make(self.first.clone(), self.ours, self.dtype)
        losses = peer(self.recorded[0])
        gradients = [p.grad for p in peer.model.parameters]
        states = [s.clone() for s in peer.model.states]
        later = peer(self.recorded[1])
        compare(who, self.found, losses, gradients, states, LIMIT[self.dtype])
        close_to(f"losses of step 2, {who}", self.second, later, LIMIT[self.dtype])
        return peer

    def _time_peer(self, who, peer):
        self._time(who, rotating(lambda i: peer(self.recorded[i % STEPS])))

    def _run_graph(self, expected, open_steps):
        graph = self.make(graph=True)
        compare_graph(graph, expected)
        self._time_ours("twintail graph", graph, open_steps)

    def _time_ours(self, who, ours, open_steps):
        step = OpenStep(ours)
        open_steps.append(step)
        step.row = self._time(who, step, ours.context)

    def _time(self, who, call, context=None):
        def measure():
            peak = self.session.watch_memory()
            for _ in range(2):  # the workspace grows in the first, which cuts a graph short; the second builds a whole one
                call()
            before = context and context.info()
            row = self.session.clock.series(call, 20 if self.session.on_gpu else 2)
            row["extra_mib"] = peak()
            row["clicks_per_s"] = self.shape["n"] / row["wall_ms"] * 1e3
            if context:
                after = context.info()
                row["graphs_launched"] = after.graph_launches - before.graph_launches
                row["graphs_built"] = after.graph_builds - before.graph_builds
            return row
        row = self.results.add(attempt(self.results, self._row(who), measure))
        print_row(row)
        return row


def compare(who, found, losses, gradients, states, limit):
    close_to(f"losses, {who}", found["losses"], losses, limit / 10)
    for i, (ours, theirs) in enumerate(zip(found["gradients"], gradients)):
        close_to(f"gradient of tower parameter {i}, {who}", ours, theirs, limit)
    for e, (ours, theirs) in enumerate(zip(found["states"], states)):
        close_to(f"state of embedding {e}, {who}", ours, theirs, 2 * limit)


def values_of(step):
    return step.parameters, *step.tables, *step.states


def compare_graph(graph, expected):
    """Four steps, so that the graph is built and updated; not a bit may differ from those of four steps call by call."""
    for step in range(STEPS):
        graph.run(step)
    graph.context.synchronize()
    if not all(torch.equal(found, value) for found, value in zip(values_of(graph), expected)):
        raise AssertionError("the step as a CUDA graph gives other bits than call by call; it is not timed")
    info = graph.context.info()
    if info.graphs:
        print(f"check graph: the same bits; {info.graph_nodes} nodes, {info.graph_launches} launched, {info.graph_builds} built, "
              f"{info.graph_cuts} cut", flush=True)


def print_row(row):
    name = f'{row["case"]:18} {row["data"]:15} n={row["n"]:<6} m={row["m"]:<6} {row["dtype"]:9} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
    else:
        gap = f', {row["gap_ms"]:.3f} between {row["kernels"]:.0f} kernels' if row.get("gap_ms") else ""
        print(f'{name} {row["ms_median"]:9.3f} ms (wall {row["wall_ms"]:.3f}, host {row["host_ms"]:.3f}{gap}) {row["clicks_per_s"]:12.0f} clicks/s',
              flush=True)
