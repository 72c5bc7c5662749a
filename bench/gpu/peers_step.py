"""The same model and step in PyTorch: EmbeddingBag (mean), towers, cosines by one matrix product, accidental hits masked, cross
entropy twice, Adam for the towers and row-wise Adagrad by hand (twins: bench/Twintail.Bench/Peers/StepNaive.cs and StepBest.cs).

dtype bfloat16: the losses' products in bfloat16, and TF32 in the towers' products, where ours stay in float32.
"""
import torch
import torch.nn.functional as F

import native_step
import peers_gather


class Model:
    def __init__(self, tables, states, parameters, layers):
        self.tables, self.states, self.parameters, self.layers = tables, states, parameters, layers

    @staticmethod
    def copy(ours):
        parameters = [t.detach().clone() for tower in (ours.item, ours.user) for t in tower.tensors(ours.parameters)]
        return Model([w.clone() for w in ours.tables], [s.clone() for s in ours.states], parameters, len(ours.item.layers))

    def clone(self):
        return Model([w.clone() for w in self.tables], [s.clone() for s in self.states],
                     [p.clone().requires_grad_() for p in self.parameters], self.layers)


def tower(x, parameters):
    for i in range(0, len(parameters), 2):
        x = F.linear(x, parameters[i], parameters[i + 1])
        x = F.relu(x) if i + 2 < len(parameters) else x
    return x


def loss(x, y, ids, temperature, log_q, dtype):
    """Mean cross entropy of the diagonal among all columns that are not the same item again."""
    scores = (F.normalize(x, dim=1).to(dtype) @ F.normalize(y, dim=1).to(dtype).T).float() / temperature
    if log_q is not None:
        scores = scores - log_q
    target = torch.arange(len(ids), device=ids.device)
    is_hit = (ids.unsqueeze(0) == ids.unsqueeze(1)) & (target.unsqueeze(0) != target.unsqueeze(1))
    return F.cross_entropy(scores.masked_fill(is_hit, float("-inf")), target)


def dense_part(users, items, parameters, columns, self_items, log_q, dtype):
    """Both losses, the second times alpha, from the gathered vectors."""
    half = len(parameters) // 2
    u, v = tower(users, parameters[half:]), tower(items, parameters[:half])
    n, m = len(columns), len(self_items)
    main = loss(u, v[:n], columns, native_step.TEMPERATURE, log_q[columns], dtype)
    contrast = loss(v[n:n + m], v[n + m:], self_items, native_step.SELF_TEMPERATURE, None, dtype)
    return main, native_step.ALPHA * contrast


class Step:
    """What all three share. `dense`: dense_part or what a compiler made of it."""
    dense = staticmethod(dense_part)

    def __init__(self, model, ours, dtype):
        self.model, self.dtype = model, getattr(torch, dtype)
        self.log_q, self.count = ours.clicks.log_q(), len(ours.clicks.columns)
        fused = {"fused": True} if ours.session.on_gpu else {}
        self.adam = torch.optim.Adam(model.parameters, native_step.DENSE_RATE, betas=native_step.BETAS, eps=native_step.DENSE_EPSILON, **fused)
        self.rule = native_step.SPARSE_RATE, native_step.SPARSE_EPSILON

    def __call__(self, lists):
        torch.backends.cuda.matmul.allow_tf32 = self.dtype == torch.bfloat16
        users, items = self.gather(self.model.tables[self.count:], lists["users"]), self.gather(self.model.tables[:self.count], lists["items"])
        losses = self.dense(users, items, self.model.parameters, lists["columns"], lists["self_items"], self.log_q, self.dtype)
        self.adam.zero_grad(set_to_none=True)
        (losses[0] + losses[1]).backward()
        self.adam.step()
        with torch.no_grad():
            self.update(users, items, lists)
        torch.backends.cuda.matmul.allow_tf32 = False
        return torch.stack(losses).detach()


class Eager(Step):
    """As one writes it: sparse gradients by autograd."""

    def __init__(self, model, ours, dtype):
        super().__init__(model, ours, dtype)
        for table in model.tables:
            table.requires_grad_()

    @staticmethod
    def gather(tables, bags):
        return torch.cat([F.embedding_bag(b.values, w, b.starts, mode="mean", sparse=True) for w, b in zip(tables, bags)], 1)

    def update(self, users, items, lists):
        for w, state in zip(self.model.tables, self.model.states):
            peers_gather.coalesced_update(w, state, w.grad, *self.rule)
            w.grad = None


class Merged(Step):
    """Autograd through the towers and losses only; rows made unique, each updated once."""
    merged = staticmethod(peers_gather.merged_update)

    @staticmethod
    def gather(tables, bags):
        with torch.no_grad():
            vectors = torch.cat(peers_gather.forward(tables, bags, "mean"), 1)
        return vectors.requires_grad_()

    def update(self, users, items, lists):
        self._side(self.model.tables[self.count:], self.model.states[self.count:], lists["users"], users.grad)
        self._side(self.model.tables[:self.count], self.model.states[:self.count], lists["items"], items.grad)

    def _side(self, tables, states, bags, gradient):
        for w, state, b, part in zip(tables, states, bags, gradient.split([w.shape[1] for w in tables], 1)):
            ends = torch.cat([b.starts[1:], torch.full_like(b.starts[:1], len(b.values))])
            self.merged(w, state, b, part / (ends - b.starts).unsqueeze(1), *self.rule)


class Compiled(Merged):
    """Merged, with towers, losses and their backward compiled (their shapes are the same in every step), and the rows' update."""

    def __init__(self, model, ours, dtype):
        super().__init__(model, ours, dtype)
        import torch._dynamo
        torch._dynamo.reset()  # what was compiled for another precision
        self.dense = torch.compile(dense_part, dynamic=False)
        self.merged = peers_gather.compiled_update()
