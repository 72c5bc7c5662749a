"""What every group of the bench shares: the device, our contexts, the clock, and the file of results."""
import ctypes
import json
import os
import statistics
import time
import traceback

import torch

import twintail


class Clock:
    """Median and minimum of one call in milliseconds, by CUDA events or, in a dry run, the host's clock."""

    def __init__(self, on_gpu, stream, seconds):
        self.on_gpu, self.stream, self.seconds = on_gpu, stream, seconds

    def __call__(self, call):
        call()  # compiles, allocates
        clocks = HOLD_CLOCKS
        first, covered = self._once(call, clocks)
        while not covered and clocks < MOST_CLOCKS:  # a call that waits for the device by itself is never covered
            clocks *= 2
            first, covered = self._once(call, clocks)
        times = [self._once(call, clocks)[0] for _ in range(max(3, min(50, int(self.seconds * 1e3 / max(first, 1e-3)))))]
        return statistics.median(times), min(times)

    def _once(self, call, clocks):
        """ms, and whether the device was held until all of the call was handed over."""
        if not self.on_gpu:
            start = time.perf_counter()
            call()
            return (time.perf_counter() - start) * 1e3, True
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        hold(self.stream, clocks)
        start.record(self.stream)
        call()
        end.record(self.stream)
        covered = not start.query()
        end.synchronize()
        return start.elapsed_time(end), covered

    def series(self, call, count, repeats=5, held=False):
        """`count` calls in a row, without waiting in between, so that a short call is not hidden by its own launch. Per call, in ms:
        on the device (events), in all (until the device is done), and what the host needed to hand the work over: that from a shorter
        series, since a stream takes some thousand launches, and then the host waits for the device. held: what is on the device is timed
        apart from the rest, with the launches handed over before it begins, so that it has no gaps in it; "held" tells whether that
        was so, which it cannot be for calls that wait for the device by themselves."""
        call()
        self._wait()
        runs = [self._series(call, count) for _ in range(repeats)]
        short = [self._series(call, max(1, count // 5)) for _ in range(repeats)]
        covered = [self._series(call, count, True) for _ in range(repeats)] if held else []
        device = [run[0] for run in covered or runs]
        return {**({"held": all(run[3] for run in covered)} if held else {}), "ms_median": statistics.median(device), "ms_min": min(device),
                "wall_ms": statistics.median(run[1] for run in runs), "host_ms": statistics.median(run[2] for run in short)}

    def busy(self, calls, count):
        """For each of the calls, per call: ms in which the device does something, and how many kernels, copies and fills that is, by the
        profiler's timestamps. Its launches are slower than others, so that what lies between the kernels is the undisturbed time less this
        one. Once in a process, after all else: a second session of the profiler may lose or misplace kernels, above all those of
        graphs, and launches stay slower after the first."""
        spans, why = [], "no GPU"
        if self.on_gpu:
            try:
                spans, why = self._profile(calls, count), ""
            except Exception as error:  # e.g. without CUPTI or without the right to it
                why = text_of(error)
        series = apart(spans)
        if not why and len(series) < len(calls):
            why = f"the profiler has seen {len(series)} series of kernels, not {len(calls)}"
        # The last ones: those before are throwaways, as far as anything of them was seen.
        return [busy_row([] if why else series[i - len(calls)], count, why) for i in range(len(calls))]

    def _profile(self, calls, count):
        """[start, end] of kernels, copies and fills, in microseconds from the session's begin. What CUPTI loses, it loses at the
        session's head, so that throwaway calls come first; what it misplaces lies at times when there was no session."""
        from torch.profiler import ProfilerActivity, profile

        def turn(some):
            for call in some:
                for _ in range(count):
                    call()
            self._wait()
            time.sleep(PAUSE_SECONDS)

        turn(calls)
        began = time.perf_counter()
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            turn(calls)
            for call in calls:
                turn([call])
            lasted = (time.perf_counter() - began) * 1e6
        on_device = torch.autograd.DeviceType.CUDA
        spans = [(e.time_range.start, e.time_range.end) for e in seen.events() if e.device_type == on_device]
        return [(start, end) for start, end in spans if 0 <= start <= end <= lasted]

    def _series(self, call, count, held=False):
        if held and self.on_gpu:
            hold(self.stream, SERIES_CLOCKS)
        begin = time.perf_counter()
        if self.on_gpu:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(self.stream)
        for _ in range(count):
            call()
        is_covered = True
        if self.on_gpu:
            end.record(self.stream)
            is_covered = not start.query()
        handed_over = time.perf_counter()
        self._wait()
        wall = time.perf_counter() - begin
        device = start.elapsed_time(end) if self.on_gpu else wall * 1e3
        return device / count, wall * 1e3 / count, (handed_over - begin) * 1e3 / count, is_covered

    def _wait(self):
        if self.on_gpu:
            self.stream.synchronize()


HOLD_CLOCKS = 4_000_000     # two milliseconds: eager PyTorch needs about one to hand over a loss, forward and backward
MOST_CLOCKS = 64_000_000    # what is doubled until it suffices ends here
SERIES_CLOCKS = 16_000_000  # eight: a series of gathers
PAUSE_SECONDS = 0.2


def hold(stream, clocks):
    """Keeps the stream busy while the host hands over what is timed: the device would wait for the first launches, and the time between
    two events have them in it. torch.cuda._sleep is what PyTorch's own tests wait with."""
    if hasattr(torch.cuda, "_sleep"):
        with torch.cuda.stream(stream):
            torch.cuda._sleep(clocks)


def busy_row(spans, count, why):
    """Every call does the same: a number of kernels that is no multiple of the calls' has some missing or some that are not theirs."""
    if not why and len(spans) % count != 0:
        why = f"the profiler has seen {len(spans)} kernels of {count} calls"
    if why:
        return {"busy_ms": None, "kernels": None, "busy_unknown": why}
    return {"busy_ms": covered(spans) / 1e3 / count, "kernels": len(spans) / count}


def covered(spans):
    """Length of the union of [start, end] pairs: kernels may overlap."""
    length, reached = 0.0, float("-inf")
    for start, end in sorted(spans):
        length += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return length


def apart(spans):
    """[start, end] pairs in microseconds, cut where nothing happens for half a pause."""
    series, reached = [], float("-inf")
    for start, end in sorted(spans):
        if start - reached > PAUSE_SECONDS / 2 * 1e6:
            series.append([])
        series[-1].append((start, end))
        reached = max(reached, end)
    return series


class Session:
    """One process's device, context and budget. Work of PyTorch and of ours goes to the same stream."""

    def __init__(self, options):
        self.options, self.on_gpu = options, not options.dry_run
        self.deadline = options.began + options.seconds
        self.device = torch.device("cuda" if self.on_gpu else "cpu")
        self.stream = torch.cuda.Stream() if self.on_gpu else None
        self.clock = Clock(self.on_gpu, self.stream, 0.05 if options.quick or options.dry_run else 0.3)
        if options.simt:
            os.environ["SIMT_HOST_GUARD"] = "0"  # PyTorch's CPU ops read the results where they are
        self.native = twintail.Library(options.core, options.plugin)
        self.taken = []
        self.context = self.open_context()

    def open_context(self):
        on_cuda = self.on_gpu or self.options.simt
        return twintail.Context(self.native, twintail.CUDA if on_cuda else twintail.CPU,
                                self.stream.cuda_stream if self.on_gpu else None)

    def left(self):
        return self.deadline - time.monotonic()

    def generator(self, seed):
        return torch.Generator(device=self.device).manual_seed(seed)

    def give(self, tensor):
        """The tensor in memory that our ops may read and write. A GPU takes PyTorch's as it is; the kernels' CPU run, which tells
        device memory from the host's, takes its own."""
        if not self.options.simt:
            return tensor.to(self.device).contiguous()
        pointer, size = ctypes.c_void_p(), tensor.numel() * tensor.element_size()
        self.context.call("tt_alloc", max(size, 1), ctypes.byref(pointer))
        self.taken.append(pointer)
        memory = (ctypes.c_uint8 * max(size, 1)).from_address(pointer.value)
        ours = torch.frombuffer(memory, dtype=torch.uint8)[:size].view(tensor.dtype).view(tensor.shape)
        return ours.copy_(tensor)

    def empty(self, *shape, dtype=torch.float32):
        return self.give(torch.empty(*shape, dtype=dtype, device=self.device))

    def zeros(self, *shape, dtype=torch.float32):
        return self.give(torch.zeros(*shape, dtype=dtype, device=self.device))

    def free_bytes(self):
        return torch.cuda.mem_get_info()[0] if self.on_gpu else 2**33

    def watch_memory(self):
        """Starts counting what is allocated from here on; the returned function tells the peak in MiB, of PyTorch and of our workspace.
        That is given back first: it only grows, so that a small call would seem to need what the largest one before it did."""
        self.context.call("tt_context_trim")
        if not self.on_gpu:
            return lambda: None
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        return lambda: (torch.cuda.max_memory_allocated() - before + self.context.workspace_bytes()) / 2**20

    def close(self):
        for pointer in self.taken:
            self.context.call("tt_free", pointer)
        self.context.close()


SHAPE = ("case", "data", "n", "m", "d", "dtype", "who")


class Results:
    """NAME.json: every row is on disk as soon as it is there, so that a group that dies loses nothing of the others or its own, and what
    was under way when it died is told. resumes: adds to the rows that a process before has left of the group."""

    def __init__(self, folder, name, group, resumes=False):
        os.makedirs(folder, exist_ok=True)
        self.path, self.group = os.path.join(folder, f"{name}.json"), group
        self.title = f"{group}, peers alone" if resumes else group
        self.all = {"device": None, "groups": {}, "rows": []}
        if os.path.exists(self.path):
            with open(self.path) as file:
                self.all = json.load(file)
        self.all["rows"] = [row for row in self.all["rows"] if resumes or row["group"] != group]
        self.state("began")

    def floors(self, found):
        if found:
            self.all["device"] = {**(self.all["device"] or {}), **found}
            self._write()

    def about(self, facts, checks):
        """Driver, toolkit and the like; the lines of JSON that tests left in the file `checks`."""
        self.all["device"] = {**(self.all["device"] or {}), **facts} or None
        if checks and os.path.exists(checks):
            with open(checks) as file:
                self.all["checks"] = [json.loads(line) for line in file]
        self._write()

    def state(self, text):
        self.all["groups"][self.title] = text
        self._write()

    def begins(self, row):
        """A hang is cut off from outside: then this is what it hung in."""
        self.state("was at " + " ".join(str(row[key]) for key in SHAPE if key in row))

    def add(self, row):
        self.all["rows"].append({"group": self.group, **row})
        self._write()
        return self.all["rows"][-1]

    def complete(self, row, more):
        """More about a row that was added."""
        row.update(more)
        self._write()

    def rows(self):
        return [row for row in self.all["rows"] if row["group"] == self.group]

    def has(self, row):
        """Whether this was timed already, or left out for want of time."""
        return any("error" not in other and row.items() <= other.items() for other in self.rows())

    def skip(self, case, why, **more):
        self.add({"case": case, "who": "twintail", "skipped": why, **more})
        print(f"{case}: skipped: {why}", flush=True)

    def _write(self):
        with open(self.path + ".part", "w") as file:
            json.dump(self.all, file, indent=1)
        os.replace(self.path + ".part", self.path)


def text_of(error):
    """One line. The error itself is not to be kept: its traceback keeps what its functions had in hand, tables of gigabytes."""
    if os.environ.get("TWINTAIL_BENCH_TRACE"):
        traceback.print_exception(error)
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def attempt(results, row, measure):
    """The row with what `measure` returns, or with the error: a peer that cannot run here must not end the bench, nor go unsaid."""
    results.begins(row)
    try:
        row.update(measure())
    except Exception as error:
        row["error"] = text_of(error)
    return row


def unless_wrong(results, row, run):
    """A case that is wrong or fails is told, and not timed; the next one may be right."""
    results.begins(row)
    try:
        run()
    except Exception as error:
        told(results, row, error)


def if_able(results, row, make):
    """What `make` returns; None where it cannot run here, which is told. A wrong result is no inability: it goes on to the caller."""
    results.begins(row)
    try:
        return make()
    except AssertionError:
        raise
    except Exception as error:
        return told(results, row, error)


def told(results, row, error):
    row = results.add({"who": "twintail", **row, "error": text_of(error)})
    print(" ".join(f"{key}={row[key]}" for key in SHAPE if key in row) + f": {row['error']}", flush=True)


def close_to(what, found, expected, limit):
    """Relative difference in the 2-norm; raises where it exceeds the limit."""
    scale = expected.double().norm().item() or 1.0
    error = (found.double() - expected.double()).norm().item() / scale
    print(f"check {what}: relative difference {error:.1e} (limit {limit:.0e})", flush=True)
    if not error <= limit:
        raise AssertionError(f"{what} is wrong: relative difference {error:.2e}, expected at most {limit:.0e}; it is not timed")
