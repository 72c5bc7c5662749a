"""Embedding vectors and their row-wise Adagrad in PyTorch's stock ops (docs/performance.md, "The peers").

All work on bags: values with the offsets of each bag, for each feature. Row-wise Adagrad is written by hand, since
torch.optim.Adagrad keeps a state for each weight: state[row] += mean g^2; w[row] -= lr g / (sqrt(state[row]) + epsilon).
"""
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass
class Bags:
    """One feature: value i lies in bag bags[i]; bag b begins at starts[b]. None is empty."""
    values: torch.Tensor  # int64
    starts: torch.Tensor  # int64 [bags]
    bags: torch.Tensor    # int64

    @staticmethod
    def of(values, offsets):
        """offsets [bags + 1]"""
        lengths = offsets[1:] - offsets[:-1]
        return Bags(values.long(), offsets[:-1].contiguous(), torch.repeat_interleave(torch.arange(len(lengths), device=values.device), lengths))

    @staticmethod
    def join(parts):
        """parts: (values, offsets) of one view after the other."""
        starts, base = [], 0
        for values, offsets in parts:
            starts.append(offsets[:-1] + base)
            base += len(values)
        return Bags.of(torch.cat([values for values, _ in parts]), torch.cat([*starts, torch.tensor([base], device=starts[0].device)]))


class DeviceDraws:
    """Draws masks and dropped values of both views on the device, for all features at once, and makes the bags that are left. What the
    batch's rows hold lies ready, which flatters the peer: Twintail reads it within the step."""

    def __init__(self, flat, n, mask_rate, value_rate):
        """flat: (values, offsets [n + 1]) for each feature, nothing left out."""
        self.n, self.rates, self.features = n, (mask_rate, value_rate), len(flat)
        device = flat[0][0].device
        values, lengths = [], []
        for feature_values, offsets in flat:
            values += [feature_values.long()] * 2
            lengths += [offsets[1:] - offsets[:-1]] * 2
        lengths = torch.cat(lengths)  # bag (2 feature + view) n + row
        bag = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
        self.ends = F.pad(lengths.cumsum(0), (1, 0))
        # Each bag's own values, then the default, which stands in for all of them.
        place = torch.arange(len(bag), device=device) + bag
        defaults = self.ends[1:] + torch.arange(len(lengths), device=device)
        total = len(bag) + len(lengths)
        self.own, self.place, self.default_place = bag, place, defaults
        self.values = torch.zeros(total, dtype=torch.int64, device=device)
        self.values[place] = torch.cat(values)
        self.bag = torch.empty(total, dtype=torch.int64, device=device)
        self.bag[place], self.bag[defaults] = bag, torch.arange(len(lengths), device=device)

    def __call__(self):
        mask_rate, value_rate = self.rates
        device, bags = self.values.device, len(self.default_place)
        masked = torch.rand(bags, device=device) < mask_rate
        keep = (torch.rand(len(self.own), device=device) >= value_rate) & ~masked[self.own]
        upto = F.pad(keep.cumsum(0), (1, 0))
        counts = upto[self.ends[1:]] - upto[self.ends[:-1]]
        all_kept = torch.empty(len(self.values), dtype=torch.bool, device=device)
        all_kept[self.place], all_kept[self.default_place] = keep, counts == 0
        left = all_kept.nonzero().squeeze(1)
        values, bag = self.values[left], self.bag[left]
        offsets = F.pad(counts.clamp(min=1).cumsum(0), (1, 0))
        size = 2 * self.n
        cuts = offsets[::size].tolist()  # waits for the device, as anything whose size depends on the data
        return [Bags(values[a:b], offsets[f * size:(f + 1) * size] - a, bag[a:b] - f * size)
                for f, (a, b) in enumerate(zip(cuts, cuts[1:]))]


def forward(tables, bags, mode="sum"):
    return [F.embedding_bag(b.values, w, b.starts, mode=mode) for w, b in zip(tables, bags)]


def coalesced_update(weights, state, gradient, rate, epsilon):
    """From EmbeddingBag's sparse gradient, in which a row may occur many times."""
    merged = gradient.coalesce()
    rows, values = merged.indices()[0], merged.values()
    moved = state[rows] + values.square().mean(1)
    state.index_copy_(0, rows, moved)
    weights.index_add_(0, rows, values * (-rate / (moved.sqrt() + epsilon)).unsqueeze(1))


def row_steps(state, inverse, bags, gradient, rate, epsilon):
    """New state and change of weights of rows of which each occurs once; state: theirs."""
    sums = torch.zeros(state.shape[0], gradient.shape[1], device=gradient.device).index_add_(0, inverse, gradient[bags])
    moved = state + sums.square().mean(1)
    return moved, sums * (-rate / (moved.sqrt() + epsilon)).unsqueeze(1)


def scatter_update(steps, weights, state, bags, gradient, rate, epsilon):
    rows, inverse = torch.unique(bags.values, return_inverse=True)
    moved, change = steps(state[rows], inverse, bags.bags, gradient, rate, epsilon)
    state.index_copy_(0, rows, moved)
    weights.index_add_(0, rows, change)


def merged_update(*arguments):
    """From the gradient of the bags [bags, dim] (their sums'): weights, state, bags, gradient, rate, epsilon."""
    scatter_update(row_steps, *arguments)


def compiled_update():
    """merged_update with all but the sort and the writing compiled (a compiler may copy a table that it is to change)."""
    steps = torch.compile(row_steps, dynamic=True)
    return lambda *arguments: scatter_update(steps, *arguments)


class SparseStep:
    """As one writes it: EmbeddingBag with sparse gradients, autograd, both views in one call."""

    def __init__(self, tables, states, gradient, rate, epsilon):
        self.tables = [w.requires_grad_() for w in tables]
        self.states, self.gradient, self.rule = states, gradient, (rate, epsilon)

    def __call__(self, bags):
        pooled = [F.embedding_bag(b.values, w, b.starts, mode="sum", sparse=True) for w, b in zip(self.tables, bags)]
        vectors = torch.cat(pooled, 1)
        vectors.backward(self.gradient)
        with torch.no_grad():
            for w, state in zip(self.tables, self.states):
                coalesced_update(w, state, w.grad, *self.rule)
                w.grad = None
        return vectors.detach()


class MergedStep:
    """Without autograd: rows made unique, upstream gradients added straight to them, each row updated once."""

    def __init__(self, tables, states, gradient, rate, epsilon, update=merged_update):
        self.tables, self.states, self.rule, self.update = tables, states, (rate, epsilon), update
        self.gradients = gradient.split([w.shape[1] for w in tables], 1)

    @torch.no_grad()
    def __call__(self, bags):
        vectors = torch.cat(forward(self.tables, bags), 1)
        for w, state, b, gradient in zip(self.tables, self.states, bags, self.gradients):
            self.update(w, state, b, gradient, *self.rule)
        return vectors
