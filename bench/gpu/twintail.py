"""Twintail's C ABI (native/include/twintail.h) by ctypes: what the GPU bench calls, nothing more."""
import ctypes as c
import os

CPU, CUDA = 0, 1
PRECISION = {"float32": 0, "bfloat16": 1}


class Error(c.Structure):
    _fields_ = [("status", c.c_int32), ("reserved", c.c_int32), ("asked_bytes", c.c_int64), ("free_bytes", c.c_int64),
                ("argument", c.c_char * 64), ("expected", c.c_char * 192), ("got", c.c_char * 128),
                ("message", c.c_char * 2048)]


class ContextOptions(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("device", c.c_int32), ("device_index", c.c_int32), ("threads", c.c_int32),
                ("isa", c.c_int32), ("reserved", c.c_int32), ("stream", c.c_void_p)]


class ContextInfo(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("device", c.c_int32), ("device_index", c.c_int32), ("threads", c.c_int32),
                ("isa", c.c_int32), ("bfloat16", c.c_int32), ("live_bytes", c.c_int64), ("workspace_bytes", c.c_int64),
                ("name", c.c_char * 128)]


class SampledSoftmaxArgs(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("d", c.c_int32), ("n", c.c_int64), ("m", c.c_int64),
                *[(name, c.c_void_p) for name in ("queries", "candidates", "log_q", "positives", "candidate_ids", "weights")],
                ("inverse_temperature", c.c_float), ("scale", c.c_float), ("precision", c.c_int32), ("reserved", c.c_int32),
                *[(name, c.c_void_p) for name in ("loss", "log_sum_exp", "total", "grad_queries", "grad_candidates",
                                                  "grad_inverse_temperature")]]


class TwintailError(RuntimeError):
    pass


class Library:
    """libtwintail.so; `plugin`: the CUDA backend to load with it."""

    def __init__(self, path, plugin=None):
        if plugin:
            os.environ["TWINTAIL_CUDA_PLUGIN"] = os.path.abspath(plugin)
        self.lib = c.CDLL(os.path.abspath(path))
        for name in ("tt_context_create", "tt_context_destroy", "tt_context_synchronize", "tt_context_get_info",
                     "tt_sampled_softmax"):
            getattr(self.lib, name).restype = c.c_int32
        self.lib.tt_last_error.restype = None

    def check(self, status):
        if status != 0:
            error = Error()
            self.lib.tt_last_error(c.byref(error))
            raise TwintailError(error.message.decode(errors="replace"))


class Context:
    def __init__(self, library, device, stream=None):
        self.native, self.handle = library, c.c_void_p()
        options = ContextOptions(struct_size=c.sizeof(ContextOptions), device=device, stream=stream)
        library.check(library.lib.tt_context_create(c.byref(options), c.byref(self.handle)))

    def close(self):
        self.native.check(self.native.lib.tt_context_destroy(self.handle))

    def workspace_bytes(self):
        info = ContextInfo(struct_size=c.sizeof(ContextInfo))
        self.native.check(self.native.lib.tt_context_get_info(self.handle, c.byref(info)))
        return info.workspace_bytes

    def synchronize(self):
        self.native.check(self.native.lib.tt_context_synchronize(self.handle))

    def sampled_softmax(self, n, m, d, inverse_temperature, precision="float32", scale=1.0, **pointers):
        """pointers: addresses on the context's device, by the names of tt_sampled_softmax_args."""
        args = SampledSoftmaxArgs(struct_size=c.sizeof(SampledSoftmaxArgs), d=d, n=n, m=m, scale=scale,
                                  inverse_temperature=inverse_temperature, precision=PRECISION[precision], **pointers)
        self.native.check(self.native.lib.tt_sampled_softmax(self.handle, c.byref(args)))


def self_check(path, plugin=None):
    """The declarations above against a tiny loss worked out in plain Python, on the CPU backend. Needs no torch."""
    import math
    n, m, d, inverse_temperature = 3, 5, 4, 2.0
    q = [math.sin(1.0 + i) for i in range(n * d)]
    k = [math.cos(0.5 + i) for i in range(m * d)]
    log_q = [-0.1 * (j + 1) for j in range(m)]

    def unit(v):
        length = math.sqrt(sum(x * x for x in v))
        return [x / length for x in v]

    expected = []
    for i in range(n):
        a = unit(q[i * d:(i + 1) * d])
        s = [inverse_temperature * sum(x * y for x, y in zip(a, unit(k[j * d:(j + 1) * d]))) - log_q[j] for j in range(m)]
        expected.append(math.log(sum(map(math.exp, s))) - s[i])
    buffers = {"queries": (c.c_float * len(q))(*q), "candidates": (c.c_float * len(k))(*k),
               "log_q": (c.c_float * m)(*log_q), "loss": (c.c_float * n)()}
    context = Context(Library(path, plugin), CPU)
    context.sampled_softmax(n, m, d, inverse_temperature, **{name: c.addressof(b) for name, b in buffers.items()})
    context.synchronize()
    found = list(buffers["loss"])
    context.close()
    for i in range(n):
        if abs(found[i] - expected[i]) > 1e-5:
            raise AssertionError(f"loss[{i}]: expected {expected[i]}, got {found[i]}")
    print("twintail.py agrees with the library")


if __name__ == "__main__":
    import sys
    self_check(*sys.argv[1:])
