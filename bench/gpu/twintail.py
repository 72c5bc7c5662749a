"""Twintail's C ABI (native/include/twintail.h) by ctypes: what the GPU bench calls, nothing more."""
import ctypes as c
import os

CPU, CUDA = 0, 1
PRECISION = {"float32": 0, "bfloat16": 1}
SUM, MEAN = 0, 1                                                    # tt_pooling
RANDOM_MASK, VALUE_DROPOUT, CORRELATED, LIST_DROPOUT = 1, 2, 8, 16  # tt_transform
ROWWISE_ADAGRAD, ADAM = 2, 3                                        # tt_optimizer_kind
LINEAR, RELU = 0, 1                                                 # tt_activation
DEVICE_TO_DEVICE = 2                                                # tt_copy


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
                ("name", c.c_char * 128), ("reserved_bytes", c.c_int64), ("graphs", c.c_int32), ("graph_nodes", c.c_int32),
                ("graph_launches", c.c_int64), ("graph_builds", c.c_int64), ("graph_cuts", c.c_int64)]


class BackendReport(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("device", c.c_int32), ("available", c.c_int32), ("device_count", c.c_int32),
                ("path", c.c_char * 512), ("reason", c.c_char * 1024), ("confirmed", c.c_int32), ("reserved", c.c_int32)]


class SampledSoftmaxArgs(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("d", c.c_int32), ("n", c.c_int64), ("m", c.c_int64),
                *[(name, c.c_void_p) for name in ("queries", "candidates", "log_q", "positives", "candidate_ids", "weights")],
                ("inverse_temperature", c.c_float), ("scale", c.c_float), ("precision", c.c_int32), ("reserved", c.c_int32),
                *[(name, c.c_void_p) for name in ("loss", "log_sum_exp", "total", "grad_queries", "grad_candidates",
                                                  "grad_inverse_temperature")]]


class ContrastiveArgs(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("d", c.c_int32), ("m", c.c_int64),
                *[(name, c.c_void_p) for name in ("view1", "view2", "ids", "weights")],
                ("inverse_temperature", c.c_float), ("scale", c.c_float), ("symmetric", c.c_int32), ("precision", c.c_int32),
                *[(name, c.c_void_p) for name in ("loss", "total", "grad_view1", "grad_view2", "grad_inverse_temperature")]]


class Feature(c.Structure):
    _fields_ = [("offsets", c.c_void_p), ("values", c.c_void_p), ("value_count", c.c_int64), ("vocabulary", c.c_int32),
                ("embedding", c.c_int32), ("pooling", c.c_int32), ("through_list", c.c_int32)]


class FeatureTableOptions(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("feature_count", c.c_int32), ("features", c.POINTER(Feature)), ("rows", c.c_int64),
                ("catalogue_rows", c.c_int64), ("list_offsets", c.c_void_p), ("list_rows", c.c_void_p), ("list_count", c.c_int64)]


class Augmentation(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("transforms", c.c_uint32), ("maskable", c.c_uint64),
                ("correlated", c.POINTER(c.c_uint64)), ("mask_rate", c.c_float), ("value_rate", c.c_float),
                ("list_rate", c.c_float), ("second_view", c.c_int32), ("seed_scope", c.c_int32), ("purpose", c.c_uint32),
                ("seed", c.c_uint64), ("step", c.c_int64)]


class Embedding(c.Structure):
    _fields_ = [("weights", c.c_void_p), ("state1", c.c_void_p), ("state2", c.c_void_p), ("rows", c.c_int64),
                ("dim", c.c_int32), ("dtype", c.c_int32)]


class GatherView(c.Structure):
    _fields_ = [("rows", c.c_void_p), ("left_out", c.c_void_p), ("augmentation", c.POINTER(Augmentation)),
                ("vectors", c.c_void_p), ("n", c.c_int64), ("ld", c.c_int64), ("row_base", c.c_int64), ("view", c.c_int32),
                ("reserved", c.c_int32)]


class Optimizer(c.Structure):
    _fields_ = [("struct_size", c.c_int32), ("kind", c.c_int32), ("learning_rate", c.c_float), ("epsilon", c.c_float),
                ("beta1", c.c_float), ("beta2", c.c_float), ("weight_decay", c.c_float), ("reserved", c.c_int32),
                ("step", c.c_int64)]


def sized(struct, **fields):
    """A struct with its struct_size filled in."""
    return struct(struct_size=c.sizeof(struct), **fields)


class TwintailError(RuntimeError):
    pass


P, I32, I64, U32, U64 = c.c_void_p, c.c_int32, c.c_int64, c.c_uint32, c.c_uint64
SIGNATURES = {
    "tt_context_create": [P, P], "tt_context_destroy": [P], "tt_context_synchronize": [P], "tt_context_get_info": [P, P], "tt_context_trim": [P],
    "tt_backend_probe": [I32, P], "tt_graph_begin": [P], "tt_graph_end": [P],
    "tt_alloc": [P, I64, P], "tt_free": [P, P], "tt_memory_copy": [P, P, P, I64, I32],
    "tt_fill_uniform": [P, U64, U32, I64, c.c_float, c.c_float, I64, P], "tt_sample_rows": [P, U64, U32, I64, I64, I64, P],
    "tt_sample_clicks": [P, U64, U32, I64, P, P, I64, I64, I64, P, P],
    "tt_feature_table_create": [P, P, P], "tt_feature_table_destroy": [P],
    "tt_embedding_gather": [P, P, P, I32, P, I32], "tt_augmented_values": [P, P, P, I32, P, P, P, I64],
    "tt_embedding_gather_update": [P, P, P, P, I32, P, I32], "tt_dense_update": [P, P, P, P, P, P, I64],
    "tt_linear": [P, I64, I32, I32, P, P, P, I32, P], "tt_linear_backward": [P, I64, I32, I32, P, P, I32, P, P, P, P, P],
    "tt_sampled_softmax": [P, P], "tt_contrastive": [P, P],
}


class Library:
    """libtwintail.so; `plugin`: the CUDA backend to load with it."""

    def __init__(self, path, plugin=None):
        if plugin:
            os.environ["TWINTAIL_CUDA_PLUGIN"] = os.path.abspath(plugin)
        self.lib = c.CDLL(os.path.abspath(path))
        for name, arguments in SIGNATURES.items():
            function = getattr(self.lib, name)
            function.argtypes, function.restype = arguments, c.c_int32
        self.lib.tt_last_error.restype = None

    def check(self, status):
        if status != 0:
            error = Error()
            self.lib.tt_last_error(c.byref(error))
            raise TwintailError(error.message.decode(errors="replace"))

    def backend(self, device=CUDA):
        """Whether the backend can be used, and in a line what it is or why not."""
        report = sized(BackendReport)
        self.check(self.lib.tt_backend_probe(device, c.byref(report)))
        return bool(report.available), report.reason.decode(errors="replace")


class Context:
    def __init__(self, library, device, stream=None):
        self.native, self.handle = library, c.c_void_p()
        options = ContextOptions(struct_size=c.sizeof(ContextOptions), device=device, stream=stream)
        library.check(library.lib.tt_context_create(c.byref(options), c.byref(self.handle)))

    def close(self):
        self.native.check(self.native.lib.tt_context_destroy(self.handle))

    def info(self):
        info = ContextInfo(struct_size=c.sizeof(ContextInfo))
        self.native.check(self.native.lib.tt_context_get_info(self.handle, c.byref(info)))
        return info

    def workspace_bytes(self):
        return self.info().workspace_bytes

    def synchronize(self):
        self.native.check(self.native.lib.tt_context_synchronize(self.handle))

    def sampled_softmax(self, n, m, d, inverse_temperature, precision="float32", scale=1.0, **pointers):
        """pointers: addresses on the context's device, by the names of tt_sampled_softmax_args."""
        args = SampledSoftmaxArgs(struct_size=c.sizeof(SampledSoftmaxArgs), d=d, n=n, m=m, scale=scale,
                                  inverse_temperature=inverse_temperature, precision=PRECISION[precision], **pointers)
        self.native.check(self.native.lib.tt_sampled_softmax(self.handle, c.byref(args)))

    def call(self, name, *arguments):
        """Any function that takes the context first; structs and arrays of them go as c.byref or as they are."""
        status = getattr(self.native.lib, name)(self.handle, *arguments)
        if status != 0:
            self.native.check(status)


class FeatureTable:
    """features: a list of Feature; the memory behind them must outlive the table."""

    def __init__(self, context, features, rows, catalogue_rows=0, list_offsets=None, list_rows=None, list_count=0):
        self.native, self.handle = context.native, c.c_void_p()
        self.features = (Feature * len(features))(*features)
        options = sized(FeatureTableOptions, feature_count=len(features), features=self.features, rows=rows,
                        catalogue_rows=catalogue_rows, list_offsets=list_offsets, list_rows=list_rows, list_count=list_count)
        context.call("tt_feature_table_create", c.byref(options), c.byref(self.handle))

    def close(self):
        self.native.check(self.native.lib.tt_feature_table_destroy(self.handle))


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
    if sys.argv[1] == "--backend":  # LIBRARY PLUGIN: one line, with "built for 12.4" where there is a device
        print(Library(*sys.argv[2:]).backend()[1])
    else:
        self_check(*sys.argv[1:])
