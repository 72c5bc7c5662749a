"""Times of calls: on the device, until the device is done, and until the host has handed them over; and what the profiler sees of them."""
import statistics
import time
from typing import NamedTuple, Optional

import torch

LEAST_HOLD_MS, MOST_HOLD_MS = 1.0, 64.0
CLOCKS_PER_MS = 2_000_000  # on a device that runs at 2 GHz; whether a hold was long enough is looked at, not worked out
SERIES_MS = 150.0          # a series of slow calls is cut to a quarter at most, so that a slow peer does not take the time of what follows
PAUSE_SECONDS = 0.2


class Times(NamedTuple):
    """Milliseconds of one call. held: whether all of it was handed over before the device began; None where nothing is held."""
    median: float
    least: float
    held: Optional[bool]


class Run(NamedTuple):
    """Milliseconds of a series, per call. is_held: the device was still held when all was handed over."""
    device: float
    wall: float
    host: float
    is_held: bool


class Clock:
    """By CUDA events or, in a dry run, the host's clock."""

    def __init__(self, on_gpu, stream, seconds):
        self.on_gpu, self.stream, self.seconds = on_gpu, stream, seconds

    def __call__(self, call):
        """Times of one call, on a device that is held until it has been handed over."""
        self._warm(call)
        first = self._series(call, 1)
        count = max(3, min(50, int(self.seconds * 1e3 / max(first.device, 1e-3))))
        if not self.on_gpu:
            device, held = [self._series(call, 1).device for _ in range(count)], None
        else:
            device, held = self._held(call, 1, 1, count, first.host)
        return Times(statistics.median(device), min(device), held)

    def series(self, call, count, repeats=5, held=False):
        """`count` calls in a row, without waiting in between, so that a short call is not hidden by its own launch. Per call, in ms:
        on the device (events), in all (until the device is done), and what the host needed to hand the work over: that from a shorter
        series, since a stream takes some thousand launches, and then the host waits for the device. held: what is on the device is timed
        apart from the rest, with the launches handed over before it begins, so that it has no gaps in it; `held` in what is returned
        says whether that was so."""
        self._warm(call)
        least = max(1, count // 4)
        one = self._series(call, 1).wall
        while count // 2 >= least and one * count > SERIES_MS:
            count //= 2
        runs = [self._series(call, count) for _ in range(repeats)]
        short = [self._series(call, max(1, count // 5)) for _ in range(repeats)]
        device, found = [run.device for run in runs], {}
        if self.on_gpu:
            found["held"] = False
        if held and self.on_gpu:
            device, found["held"] = self._held(call, count, least, repeats, statistics.median(run.host for run in short))
        return {"ms_median": statistics.median(device), "ms_min": min(device), "wall_ms": statistics.median(run.wall for run in runs),
                "host_ms": statistics.median(run.host for run in short), **found}

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
                why = f"{type(error).__name__}: {error}".splitlines()[0][:200]
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

    def _warm(self, call):
        call()  # compiles, allocates
        self._wait()

    def _held(self, call, count, least, repeats, host_ms):
        """Device times of series that were handed over in whole while the device was held, and True; of series that nothing holds, and
        False, where no hold is long enough: a call that waits for the device outlasts any. A stream takes only so many launches before
        the host has to wait, so that shorter series are tried, too."""
        hold_ms = min(LEAST_HOLD_MS + 2 * count * host_ms, MOST_HOLD_MS)
        while not self._series(call, count, hold_ms).is_held:
            if not can_hold() or hold_ms == MOST_HOLD_MS and count // 2 < least:
                return [self._series(call, count).device for _ in range(repeats)], False
            count, hold_ms = max(count // 2, least), min(2 * hold_ms, MOST_HOLD_MS)
        runs = [self._series(call, count, hold_ms) for _ in range(repeats)]
        good = [run.device for run in runs if run.is_held]  # the host may have been away once
        return (good, True) if 2 * len(good) > len(runs) else ([run.device for run in runs], False)

    def _series(self, call, count, hold_ms=0.0):
        if hold_ms and can_hold():
            with torch.cuda.stream(self.stream):
                torch.cuda._sleep(int(hold_ms * CLOCKS_PER_MS))  # PyTorch's own tests wait with it
        begin = time.perf_counter()
        if self.on_gpu:
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record(self.stream)
        for _ in range(count):
            call()
        if self.on_gpu:
            end.record(self.stream)
        handed_over = time.perf_counter()
        is_held = self.on_gpu and not start.query()  # the device has not even begun
        self._wait()
        wall = time.perf_counter() - begin
        device = start.elapsed_time(end) if self.on_gpu else wall * 1e3
        return Run(device / count, wall * 1e3 / count, (handed_over - begin) * 1e3 / count, is_held)

    def _wait(self):
        if self.on_gpu:
            self.stream.synchronize()


def can_hold():
    return hasattr(torch.cuda, "_sleep")


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
