"""What every group of the bench shares: the device, our contexts, and the file of results."""
import ctypes
import json
import os
import time
import traceback

import torch

import twintail
from clock import Clock


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
        if not self.on_gpu:
            return 2**33
        torch.cuda.empty_cache()  # what a case before left is free, too
        return torch.cuda.mem_get_info()[0]

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
OUT_OF_TIME = "out of time"
NOT_HELD = ", with launch gaps"  # in the table: the time on the device has waiting for launches in it


def shape_of(row):
    return " ".join(str(row[key]) for key in SHAPE if key in row)


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
        self.state("was at " + shape_of(row))

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
        row = self.add({"case": case, "who": "twintail", "skipped": why, **more})
        print(f"{shape_of(row)}: skipped: {why}", flush=True)

    def of_twintail(self, key):
        """Our own rows that have the key: "error" where they failed, "skipped" where they were left out, for want of time mostly."""
        return [row for row in self.rows() if row["who"].startswith("twintail") and key in row]

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
    print(f"{shape_of(row)}: {row['error']}", flush=True)


def close_to(what, found, expected, limit):
    """Relative difference in the 2-norm; raises where it exceeds the limit."""
    scale = expected.double().norm().item() or 1.0
    error = (found.double() - expected.double()).norm().item() / scale
    print(f"check {what}: relative difference {error:.1e} (limit {limit:.0e})", flush=True)
    if not error <= limit:
        raise AssertionError(f"{what} is wrong: relative difference {error:.2e}, expected at most {limit:.0e}; it is not timed")
