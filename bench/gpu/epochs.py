"""End to end: a stream of clicks on a million items through the native loop; goodbooks through the program; and what the C# around the
native calls costs, by the program on data of the same shape as the native loop's.

The program (--cli, a self-contained publish of src/Cli) tells its times in metrics.jsonl. Without it those parts are null.
"""
import csv
import gzip
import json
import math
import os
import statistics
import subprocess
import tempfile
import time

import torch

import data
from native_step import WINDOW, NativeStep
from session import OUT_OF_TIME, attempt

COLUMNS = [("category", 5_000, 0, 1), ("brand", 200_000, 0.05, 1), ("tags", 50_000, 0, 8), ("title_tokens", 500_000, 0, 5)]
# items, users, most clicks of a user's list, columns, clicks of the stream, n, m, tower, dim
FULL = (1_000_000, 2_000_000, 37, COLUMNS, 100_000_000, 8192, 4096, (256, 128, 64), 64)
TINY = (60, 50, 9, data.TINY, 24 * 6, 24, 16, (16, 8, 8), 8)
# items, users, most clicks, columns, n, m, tower, dim, epochs, steps between two log lines: those of the group "step"
SAME = (10_000, 48_000, 37, data.GOODBOOKS, 8192, 4096, (256, 128, 64), 64, 4, 20)
SAME_TINY = (40, 60, 9, data.TINY, 24, 16, (16, 8, 8), 8, 2, 2)


def run(session, results):
    # The stream comes last: it can take as much time as is left.
    for share, part in ((0.3, overhead), (0.5, goodbooks), (1, stream)):
        if session.left() < 0:
            results.skip(part.__name__, OUT_OF_TIME)
        else:
            part(session, results, time.monotonic() + share * session.left())


def report(results, row):
    results.add(row)
    shown = {key: value for key, value in row.items() if key not in ("case", "who")}
    print(f'{row["case"]:18} {row["who"]:16} {json.dumps(shown)}', flush=True)


def stream(session, results, deadline):
    items, users, most, columns, count, n, m, tower, dim = FULL if session.on_gpu else TINY
    if session.options.quick and session.on_gpu:
        count //= 10
    row = {"case": "stream", "who": "twintail", "n": n, "m": m, "items": items, "clicks_in_stream": count, "dtype": "float32"}

    def measure():
        clicks = data.Clicks(session, items, users, most, columns, dim)
        ours = NativeStep(session, clicks, clicks.stream(session, count), n, m, tower)
        found = native_epoch(ours, deadline)
        ours.close()
        return found
    report(results, attempt(results, row, measure))


def native_epoch(ours, deadline):
    """Waits for the device every 64 steps only, to read the losses, as the trainer does."""
    n, steps, done, host = ours.n, ours.steps_per_epoch, 0, 0.0
    ours.run(0)
    first = ours.losses(0).sum().item()
    begin = time.perf_counter()
    while done < steps and time.monotonic() < deadline:
        window, start = min(WINDOW, steps - done), time.perf_counter()
        for step in range(done, done + window):
            ours.run(step)
        host += time.perf_counter() - start
        done += window
        last = ours.losses(done - 1).sum().item()
        if not math.isfinite(last):
            raise AssertionError(f"the loss of step {done - 1} is {last}")
    if done == 0:
        raise TimeoutError("making the data took all of the time")
    seconds = time.perf_counter() - begin
    return {"clicks": done * n, "seconds": seconds, "clicks_per_s": done * n / seconds, "ms_median": seconds / done * 1e3,
            "host_ms": host / done * 1e3, "whole_epoch": done == steps, "first_loss": first, "last_loss": last}


def train(session, folder, *arguments, limit):
    """Lines of metrics.jsonl of `twintail train` with the SDK's default model."""
    model, device = os.path.join(folder, "model"), "cuda" if session.on_gpu or session.options.simt else "cpu"
    command = [session.options.cli, "train", "--out", model, "--device", device, "--patience", "0", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=max(limit, 20), check=False)
    if done.returncode != 0:
        raise RuntimeError(f"twintail train: exit code {done.returncode}: {(done.stderr or done.stdout).strip()[-180:]}")
    with open(os.path.join(model, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def goodbooks(session, results, deadline):
    row = {"case": "goodbooks_epoch", "who": "twintail cli", "n": 8192, "m": 4096, "dtype": "float32"}
    where = session.options.goodbooks
    if not session.options.cli or not where or session.options.simt:
        row["needs"] = "the program (--cli), the data set (--goodbooks), and more than the kernels' CPU run"
        return report(results, {**row, "seconds": None, "clicks_per_s": None})

    def measure():
        with gzip.open(os.path.join(where, "split.csv.gz"), "rt", encoding="utf-8", newline="") as file:
            clicks = sum(line["split"] == "train" for line in csv.DictReader(file))
        with tempfile.TemporaryDirectory() as folder:
            lines = train(session, folder, "--interactions", os.path.join(where, "split.csv.gz"), "--items",
                          os.path.join(where, "items.csv.gz"), "--epochs", 4 if session.on_gpu else 1, "--batch-size", 8192,
                          "--self-batch-size", 4096, limit=deadline - time.monotonic())
        epochs = [line for line in lines if line["kind"] == "epoch"]
        ends = [0, *(line["seconds"] for line in epochs)]
        seconds = statistics.median(b - a for a, b in (list(zip(ends, ends[1:]))[1:] or [(0, ends[-1])]))
        return {"seconds": seconds, "clicks": clicks, "clicks_per_s": clicks / seconds, "epochs": len(epochs),
                "last_loss": epochs[-1]["main_loss"], "includes": "validation, checkpoint"}
    return report(results, attempt(results, row, measure))


def overhead(session, results, deadline):
    """ms of a step by the program, between two of its log lines within an epoch, over that of the native loop, less 1."""
    items, users, most, columns, n, m, tower, dim, epochs, every = SAME if session.on_gpu else SAME_TINY
    row = {"case": "managed_overhead", "who": "twintail cli", "n": n, "m": m, "dtype": "float32"}
    if not session.options.cli:
        return report(results, {**row, "overhead": None, "needs": "the program (--cli)"})

    def measure():
        clicks = data.Clicks(session, items, users, most, columns, dim)
        log = clicks.listed(session)
        count = len(log[0]) // n * n
        with tempfile.TemporaryDirectory() as folder:
            write_csv(folder, clicks, *(side[:count] for side in log))
            lines = train(session, folder, "--interactions", os.path.join(folder, "clicks.csv"), "--items", os.path.join(folder, "items.csv"),
                          "--epochs", epochs, "--batch-size", n, "--self-batch-size", m, "--tower", ",".join(map(str, tower[:-1])),
                          "--dimension", tower[-1], "--id-dimension", dim, "--feature-dimension", dim, "--augmentation", "correlated", "--log-every", every,
                          limit=deadline - time.monotonic())
        ours = NativeStep(session, clicks, log, n, m, tower)
        turn = iter(range(10**9))
        native = session.clock.series(lambda: ours.run(next(turn)), every)["wall_ms"]
        ours.close()
        program = statistics.median(program_ms(lines))
        return {"ms_median": program, "native_ms": native, "overhead": program / native - 1 if session.on_gpu else None}
    return report(results, attempt(results, row, measure))


def program_ms(lines):
    """ms of a step between the first and the last log line of each epoch (the file tells milliseconds), the first epoch left out."""
    epochs = {}
    for line in lines:
        if line["kind"] == "steps":
            epochs.setdefault(line["epoch"], []).append(line)
    spans = {epoch: (found[0], found[-1]) for epoch, found in epochs.items() if len(found) > 1}
    later = [span for epoch, span in spans.items() if epoch > 1] or list(spans.values())
    if not later:
        raise ValueError("metrics.jsonl holds no two log lines of one epoch")
    return [(b["seconds"] - a["seconds"]) / (b["step"] - a["step"]) * 1e3 for a, b in later]


def write_csv(folder, clicks, users, items):
    """The same data as files: texts instead of value ids, empty where a value is missing."""
    with open(os.path.join(folder, "clicks.csv"), "w", newline="") as file:
        file.write("user_id,item_id,split\n")
        file.writelines(f"u{u},i{i},train\n" for u, i in zip(users.tolist(), items.tolist()))
    texts = []
    for column in clicks.columns[1:]:
        values, offsets = column.of_rows(torch.arange(clicks.items, device=column.values.device))
        values, offsets = values.tolist(), offsets.tolist()
        texts.append(["|".join(f"{column.name}{v}" for v in values[a:b] if v) for a, b in zip(offsets, offsets[1:])])
    with open(os.path.join(folder, "items.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["item_id", *(c.name for c in clicks.columns[1:])])
        writer.writerows([f"i{i}", *row] for i, row in enumerate(zip(*texts)))
