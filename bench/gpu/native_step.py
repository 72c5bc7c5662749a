"""A training step by the C ABI alone: the calls of src/Sdk/Training/TrainingStep.cs in the same order, with the SDK's defaults (ids
and all other item features read through the user's list, mean pooling, no shared embeddings, correlated masks and their complement).
Structs are made once; a step changes only pointers and counters."""
import ctypes

import torch

import twintail
from gather import augmented_values
from peers_gather import Bags
from twintail import sized

SEED, INITIALIZE, CLICK_ORDER, SELF_ITEMS, SELF_VIEWS, ID_DROPOUT, HISTORY_DROPOUT = 1, 1, 2, 3, 4, 5, 6  # src/Sdk/Sampling/Philox.cs
TEMPERATURE = SELF_TEMPERATURE = ALPHA = 0.1
ID_RATE, LIST_RATE, EMBEDDING_RANGE = 0.3, 0.5, 0.05
SPARSE_RATE, SPARSE_EPSILON, DENSE_RATE, DENSE_EPSILON, BETAS = 0.05, 1e-10, 1e-3, 1e-8, (0.9, 0.999)
WINDOW = 64


class Tower:
    """Layers one after the other in the parameters, each its weights [out, in], then its bias."""

    def __init__(self, session, widths, start, rows, parameters, gradients):
        self.widths, self.layers, self.rows, self.call = widths, [], rows, session.context.call
        for width, out in zip(widths, widths[1:]):
            self.layers.append((start, start + width * out))
            start += width * out + out
        self.end = start
        self.parameters, self.gradients = parameters, gradients
        self.values = [session.empty(rows, w) for w in widths]
        self.grads = [session.empty(rows, w) for w in widths]
        self.calls = [self._arguments(i) for i in range(len(self.layers))]

    def _arguments(self, i):
        weights, bias = self.layers[i]
        at, grad = self.parameters.data_ptr(), self.gradients.data_ptr()
        activation = twintail.LINEAR if i + 1 == len(self.layers) else twintail.RELU
        shape = (self.rows, self.widths[i], self.widths[i + 1], self.values[i].data_ptr(), at + 4 * weights)
        out = self.values[i + 1].data_ptr()
        return ((*shape, at + 4 * bias, activation, out),
                (*shape, activation, out, self.grads[i + 1].data_ptr(), self.grads[i].data_ptr(), grad + 4 * weights, grad + 4 * bias))

    def forward(self):
        for arguments, _ in self.calls:
            self.call("tt_linear", *arguments)

    def backward(self):
        for _, arguments in reversed(self.calls):
            self.call("tt_linear_backward", *arguments)

    def tensors(self, flat):
        """Views of weights and biases in an array laid out like the parameters."""
        for (weights, bias), width, out in zip(self.layers, self.widths, self.widths[1:]):
            yield flat[weights:bias].view(out, width)
            yield flat[bias:bias + out]


class NativeStep:
    """log: users and items of the clicks, of which every epoch has as many as make whole batches, in an order of its own. graph: the
    calls of a step go to the device as one CUDA graph."""

    def __init__(self, session, clicks, log, n, m, tower, dtype="float32", graph=True):
        self.session, self.context, self.clicks, self.n, self.m, self.d = session, session.context, clicks, n, m, tower[-1]
        self.precision, self.graph = twintail.PRECISION[dtype], graph
        self.log, self.steps_per_epoch = log, len(log[0]) // n
        columns, count = clicks.columns, len(clicks.columns)
        self.width = sum(c.dim for c in columns)
        widths = [self.width, *tower]
        size = 2 * sum(a * b + b for a, b in zip(widths, widths[1:]))
        self.parameters, self.gradients = session.zeros(size), session.zeros(size)
        self.moments = session.zeros(size), session.zeros(size)
        self.item = Tower(session, widths, 0, n + 2 * m, self.parameters, self.gradients)
        self.user = Tower(session, widths, self.item.end, n, self.parameters, self.gradients)
        self.tables = [session.zeros(c.vocabulary, c.dim) for _ in range(2) for c in columns]  # of items, of users' lists
        self.states = [session.zeros(len(w)) for w in self.tables]
        self.embeddings = (twintail.Embedding * (2 * count))(*[
            twintail.Embedding(weights=w.data_ptr(), state1=s.data_ptr(), rows=len(w), dim=w.shape[1]) for w, s in zip(self.tables, self.states)])
        self.items = twintail.FeatureTable(self.context, [c.feature(f, twintail.MEAN) for f, c in enumerate(columns)], clicks.items)
        self.users = twintail.FeatureTable(
            self.context, [c.feature(count + f, twintail.MEAN, through_list=1) for f, c in enumerate(columns)], clicks.users, clicks.items,
            clicks.list_offsets.data_ptr(), clicks.list_items.data_ptr(), len(clicks.list_items))
        self._initialize()
        self._log_q_table()
        self._views(count)
        self._losses()
        self.dense = sized(twintail.Optimizer, kind=twintail.ADAM, learning_rate=DENSE_RATE, epsilon=DENSE_EPSILON, beta1=BETAS[0], beta2=BETAS[1])
        self.sparse = sized(twintail.Optimizer, kind=twintail.ROWWISE_ADAGRAD, learning_rate=SPARSE_RATE, epsilon=SPARSE_EPSILON)

    def _initialize(self):
        def fill(tensor, step, reach):
            self.context.call("tt_fill_uniform", SEED, INITIALIZE, step, -reach, reach, tensor.numel(), tensor.data_ptr())
        for e, table in enumerate(self.tables):
            fill(table, e, EMBEDDING_RANGE)
        for first, tower in ((1000, self.item), (2000, self.user)):
            weights = list(tower.tensors(self.parameters))[::2]
            for layer, w in enumerate(weights):
                fill(w, first + layer, ((3 if layer == len(weights) - 1 else 6) / w.shape[1])**0.5)
        self.context.synchronize()

    def _log_q_table(self):
        """log Q of the columns by a gather from a table of one column, as src/Sdk/Training/LogQTable.cs."""
        session, items = self.session, self.clicks.items
        self.log_q_rows = session.give(torch.arange(1, items + 1, device=session.device, dtype=torch.int32))
        self.log_q = session.give(torch.cat([torch.zeros(1, device=session.device), self.clicks.log_q()]))
        self.log_q_of_columns = session.empty(self.n)
        feature = twintail.Feature(values=self.log_q_rows.data_ptr(), value_count=items, vocabulary=items + 1, pooling=twintail.SUM)
        self.log_q_features = twintail.FeatureTable(self.context, [feature], items)
        self.log_q_embedding = twintail.Embedding(weights=self.log_q.data_ptr(), rows=items + 1, dim=1)

    def _views(self, features):
        session = self.session
        self.rows, self.columns, self.self_items = (session.zeros(size, dtype=torch.int32) for size in (self.n, self.n, self.m))
        everything = (1 << features) - 1
        sets = [sum(1 << (f + k) % features for k in range(max(1, features // 2))) for f in range(features)]
        self.correlated = (ctypes.c_uint64 * features)(*sets)
        self.history = sized(twintail.Augmentation, transforms=twintail.LIST_DROPOUT, list_rate=LIST_RATE, seed=SEED, purpose=HISTORY_DROPOUT)
        self.ids = sized(twintail.Augmentation, transforms=twintail.RANDOM_MASK, maskable=1, mask_rate=ID_RATE, seed=SEED, purpose=ID_DROPOUT)
        self.pairs = sized(twintail.Augmentation, transforms=twintail.CORRELATED, maskable=everything, correlated=self.correlated, seed=SEED,
                           purpose=SELF_VIEWS)

        def view(n, rows, augmentation, number=0):
            pointer = ctypes.pointer(augmentation) if augmentation is not None else None
            return twintail.GatherView(rows=rows, n=n, ld=self.width, augmentation=pointer, view=number)
        self.user_view = view(self.n, self.rows.data_ptr(), self.history)
        self.user_view.left_out = self.columns.data_ptr()
        drawn = self.self_items.data_ptr()
        self.item_views = (twintail.GatherView * 3)(
            view(self.n, self.columns.data_ptr(), self.ids), view(self.m, drawn, self.pairs, 1), view(self.m, drawn, self.pairs, 2))
        self.log_q_view = twintail.GatherView(rows=self.columns.data_ptr(), n=self.n, ld=1, vectors=self.log_q_of_columns.data_ptr())

    def _losses(self):
        session, d = self.session, self.d
        self.totals = session.zeros(2, WINDOW, dtype=torch.float64)
        vectors, grads = self.item.values[-1].data_ptr(), self.item.grads[-1].data_ptr()
        first = 4 * self.n * d
        second = first + 4 * self.m * d
        self.main = sized(
            twintail.SampledSoftmaxArgs, n=self.n, m=self.n, d=d, queries=self.user.values[-1].data_ptr(), candidates=vectors,
            log_q=self.log_q_of_columns.data_ptr(), candidate_ids=self.columns.data_ptr(), inverse_temperature=1 / TEMPERATURE, scale=1,
            precision=self.precision, grad_queries=self.user.grads[-1].data_ptr(), grad_candidates=grads)
        self.contrast = sized(
            twintail.ContrastiveArgs, m=self.m, d=d, view1=vectors + first, view2=vectors + second, ids=self.self_items.data_ptr(),
            inverse_temperature=1 / SELF_TEMPERATURE, scale=ALPHA, precision=self.precision, grad_view1=grads + first, grad_view2=grads + second)

    def _begin(self, step):
        users, items = self.log
        epoch, at = divmod(step, self.steps_per_epoch)
        self.history.step = self.ids.step = self.pairs.step = step
        self.context.call("tt_sample_clicks", SEED, CLICK_ORDER, epoch, users.data_ptr(), items.data_ptr(), self.steps_per_epoch * self.n,
                          at * self.n, self.n, self.rows.data_ptr(), self.columns.data_ptr())
        self.context.call("tt_sample_rows", SEED, SELF_ITEMS, step, self.clicks.items, self.m, self.self_items.data_ptr())

    def _point(self, users, items):
        self.user_view.vectors = users.data_ptr()
        for view, row in zip(self.item_views, (0, self.n, self.n + self.m)):
            view.vectors = items.data_ptr() + 4 * row * self.width

    def run(self, step):
        if not self.graph:
            self._calls(step)
            return
        self.context.call("tt_graph_begin")
        try:
            self._calls(step)
        finally:  # the next step is refused while this one's section is open
            self.context.call("tt_graph_end")

    def _calls(self, step):
        call, count = self.context.call, len(self.tables)
        self._begin(step)
        self._point(self.user.values[0], self.item.values[0])
        call("tt_embedding_gather", self.users.handle, self.embeddings, count, ctypes.byref(self.user_view), 1)
        self.user.forward()
        call("tt_embedding_gather", self.items.handle, self.embeddings, count, self.item_views, 3)
        self.item.forward()
        call("tt_embedding_gather", self.log_q_features.handle, ctypes.byref(self.log_q_embedding), 1, ctypes.byref(self.log_q_view), 1)
        slot = self.totals.data_ptr() + 8 * (step % WINDOW)
        self.main.total, self.contrast.total = slot, slot + 8 * WINDOW
        call("tt_sampled_softmax", ctypes.byref(self.main))
        call("tt_contrastive", ctypes.byref(self.contrast))
        self.user.backward()
        self.item.backward()
        self._point(self.user.grads[0], self.item.grads[0])
        self.dense.step = self.sparse.step = step + 1
        call("tt_dense_update", ctypes.byref(self.dense), self.parameters.data_ptr(), self.gradients.data_ptr(), self.moments[0].data_ptr(),
             self.moments[1].data_ptr(), self.parameters.numel())
        call("tt_embedding_gather_update", ctypes.byref(self.sparse), self.users.handle, self.embeddings, count, ctypes.byref(self.user_view), 1)
        call("tt_embedding_gather_update", ctypes.byref(self.sparse), self.items.handle, self.embeddings, count, self.item_views, 3)

    def losses(self, step):
        """Main and self-supervised total of one of the last 64 steps; the latter times alpha."""
        self.context.synchronize()
        return self.totals[:, step % WINDOW].clone()

    def after_first_step(self):
        return {"losses": self.losses(0), "gradients": [t.clone() for tower in (self.item, self.user) for t in tower.tensors(self.gradients)],
                "states": [s.clone() for s in self.states]}

    def lists(self, step):
        """What a step reads: bags of each user feature, of each item feature (columns, first views, second views), and the ids."""
        self._begin(step)
        users = [Bags.join([augmented_values(self.session, self.users, self.user_view, f)]) for f in range(len(self.clicks.columns))]
        items = [Bags.join([augmented_values(self.session, self.items, view, f) for view in self.item_views])
                 for f in range(len(self.clicks.columns))]
        return {"users": users, "items": items, "columns": self.columns.long(), "self_items": self.self_items.long()}

    def close(self):
        for table in (self.items, self.users, self.log_q_features):
            table.close()
