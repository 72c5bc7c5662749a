"""The whole training step in clicks a second: gather, towers 256-128-64, sampled softmax, contrastive loss on augmented views, backward,
updates; ours through the C ABI (the native loop, call by call as src/Sdk/Training/TrainingStep.cs makes them), against the same model in
PyTorch eager and torch.compile. Values and first weights are the same; first losses and gradients are compared. Ours is timed call by call
and as a CUDA graph (the SDK's default), with the time in which the device does nothing between its kernels, which is found last. Eager
PyTorch is compared before ours is timed, every other peer before it is timed itself, what is compiled at the end.

The peers get the lists of kept values of four steps made beforehand (by tt_augmented_values): drawing, masking and making
lists are within our step and not within theirs.
"""
import torch

import data
import peers_step
from native_step import NativeStep
from session import apart, attempt, close_to, covered, unless_wrong

# name, items, users, most clicks of a user, columns, clicks n, self-supervised items m, tower
FULL = [("goodbooks-like", 10_000, 48_000, 37, data.GOODBOOKS, 8192, 4096, (256, 128, 64))]
QUICK = FULL
TINY = [("goodbooks-like", 40, 30, 9, data.TINY, 24, 16, (16, 8, 8))]
STEPS = 4
LIMIT = {"float32": 1e-3, "bfloat16": 5e-2}


def run(session, results):
    assert covered([(5, 6), (0, 2), (1, 3)]) == 4 and [len(s) for s in apart([(5e6, 6e6), (0, 2), (1, 3)])] == [2, 1]
    open_steps = []
    for name, items, users, most, columns, n, m, tower in FULL if session.on_gpu else TINY:
        clicks = data.Clicks(session, items, users, most, columns, dim=64 if session.on_gpu else 8)
        for dtype in ("float32", "bfloat16"):
            shape = {"case": "training_step", "n": n, "m": m, "d": tower[-1], "dtype": dtype, "data": name}
            if session.left() < 0:
                results.skip("training_step", "out of time", n=n, m=m, d=tower[-1], dtype=dtype, data=name)
                continue
            unless_wrong(results, shape, lambda: run_dtype(session, results, shape, clicks, tower, dtype, open_steps))
    find_gaps(session, results, open_steps)
    for step in open_steps:
        step.ours.close()


class OpenStep:
    """Ours, going on from step to step, and the row of its times."""

    def __init__(self, ours):
        self.ours, self.row, self.step = ours, None, 4

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


def run_dtype(session, results, shape, clicks, tower, dtype, open_steps):
    n, m = shape["n"], shape["m"]
    log = clicks.listed(session)
    ours = NativeStep(session, clicks, log, n, m, tower, dtype, graph=False)
    recorded = [ours.lists(step) for step in range(STEPS)]
    first = peers_step.Model.copy(ours)
    ours.run(0)
    found = ours.after_first_step()
    ours.run(1)
    second = ours.losses(1)

    def compared(who, make):
        """None, or the error of a peer that cannot run here: told by its row; nothing that was not compared is timed."""
        try:
            peer = make(first.clone(), ours, dtype)
            losses = peer(recorded[0])
            gradients = [p.grad for p in peer.model.parameters]
            state = [s.clone() for s in peer.model.states]
            later = peer(recorded[1])
        except Exception as error:
            return error
        compare(who, found, losses, gradients, state, LIMIT[dtype])
        close_to(f"losses of step 2, {who}", second, later, LIMIT[dtype])
        return None

    eager = compared("torch", peers_step.Eager)
    graph = NativeStep(session, clicks, log, n, m, tower, dtype, graph=True)
    compare_graph(ours, graph)
    for who, step in (("twintail", ours), ("twintail graph", graph)):
        open_steps.append(OpenStep(step))
        time_ours(session, results, shape, who, open_steps[-1])
    time_peer(session, results, shape, "torch", peers_step.Eager, first, ours, dtype, recorded, eager)
    others = {"torch best": peers_step.Merged}
    if session.on_gpu:
        others["torch.compile"] = peers_step.Compiled
    for who, make in others.items():
        unless_wrong(results, {**shape, "who": who}, lambda: time_peer(
            session, results, shape, who, make, first, ours, dtype, recorded, compared(who, make)))


def compare(who, found, losses, gradients, states, limit):
    close_to(f"losses, {who}", found["losses"], losses, limit / 10)
    for i, (ours, theirs) in enumerate(zip(found["gradients"], gradients)):
        close_to(f"gradient of tower parameter {i}, {who}", ours, theirs, limit)
    for e, (ours, theirs) in enumerate(zip(found["states"], states)):
        close_to(f"state of embedding {e}, {who}", ours, theirs, 2 * limit)


def compare_graph(ours, graph):
    """Ours has done two steps; two more, so that the graph is built and updated, and not a bit may differ."""
    for step in range(4):
        graph.run(step)
        if step >= 2:
            ours.run(step)
    for found, expected in zip((graph.parameters, *graph.tables, *graph.states), (ours.parameters, *ours.tables, *ours.states)):
        ours.context.synchronize()
        if not torch.equal(found, expected):
            raise AssertionError("the step as a CUDA graph gives other bits than call by call; it is not timed")
    info = graph.context.info()
    if info.graphs:
        print(f"check graph: the same bits; {info.graph_nodes} nodes, {info.graph_launches} launched, {info.graph_builds} built, "
              f"{info.graph_cuts} cut", flush=True)


def time_ours(session, results, shape, who, step):
    before = step.ours.context.info()

    def more(row):
        after = step.ours.context.info()
        row.update(graphs_launched=after.graph_launches - before.graph_launches, graphs_built=after.graph_builds - before.graph_builds)
    step.row = time(session, results, shape, who, step, step.ours.workspace_mib, more)


def time_peer(session, results, shape, who, make, first, ours, dtype, recorded, failure):
    made, turn = [], iter(range(10**9))

    def call():
        if failure:
            raise failure
        if not made:
            made.append(make(first.clone(), ours, dtype))
        made[0](recorded[next(turn) % STEPS])
    time(session, results, shape, who, call)


def time(session, results, shape, who, call, workspace=None, more=None):
    def measure():
        peak = session.watch_memory()
        row = session.clock.series(call, 20 if session.on_gpu else 2)
        row["extra_mib"] = peak() if workspace is None or not session.on_gpu else workspace()
        row["clicks_per_s"] = shape["n"] / row["wall_ms"] * 1e3
        if more:
            more(row)
        return row
    row = results.add(attempt(results, {**shape, "who": who}, measure))
    print_row(row)
    return row


def print_row(row):
    name = f'{row["case"]:18} {row["data"]:15} n={row["n"]:<6} m={row["m"]:<6} {row["dtype"]:9} {row["who"]:16}'
    if "error" in row:
        print(f'{name} -- {row["error"]}', flush=True)
    else:
        gap = f', {row["gap_ms"]:.3f} between {row["kernels"]:.0f} kernels' if row.get("gap_ms") else ""
        print(f'{name} {row["ms_median"]:9.3f} ms (wall {row["wall_ms"]:.3f}, host {row["host_ms"]:.3f}{gap}) {row["clicks_per_s"]:12.0f} clicks/s',
              flush=True)
