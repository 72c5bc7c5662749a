"""Catalogues and clicks that stand for real ones, made on the device from a seed."""
from dataclasses import dataclass

import torch

import twintail


@dataclass
class Column:
    """A feature: row r has values[offsets[r] : offsets[r + 1]], or values[r] where offsets is None. Id 0 is the default."""
    name: str
    vocabulary: int
    dim: int
    offsets: torch.Tensor  # int64 [rows + 1] or None
    values: torch.Tensor   # int32

    def feature(self, embedding, pooling, through_list=0):
        return twintail.Feature(offsets=self.offsets.data_ptr() if self.offsets is not None else None,
                                values=self.values.data_ptr(), value_count=len(self.values), vocabulary=self.vocabulary,
                                embedding=embedding, pooling=pooling, through_list=through_list)

    def of_rows(self, rows):
        """Values and offsets [n + 1] of some rows, one after the other."""
        if self.offsets is None:
            return self.values[rows.long()], torch.arange(len(rows) + 1, device=rows.device)
        begin = self.offsets[rows.long()]
        lengths = self.offsets[rows.long() + 1] - begin
        offsets = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        at = torch.repeat_interleave(begin - offsets[:-1], lengths)
        return self.values[at + torch.arange(len(at), device=at.device)], offsets


def popular(session, generator, count, vocabulary):
    """Ids in [1, vocabulary) with a long tail: cubing crowds the draws at the low ids (as in bench/Twintail.Bench/Data/SplitMix.cs)."""
    u = torch.rand(count, generator=generator, device=session.device, dtype=torch.float64)
    return 1 + (u**3 * (vocabulary - 1)).long().clamp_(max=vocabulary - 2)


def zipf(session, generator, count, vocabulary, exponent=1.05):
    """Ids in [1, vocabulary), the k-th most frequent with probability ~ k^-exponent, frequent ones strewn over the table."""
    ranks = torch.arange(1, vocabulary, device=session.device, dtype=torch.float64)
    below = ranks.pow_(-exponent).cumsum_(0)
    u = torch.rand(count, generator=generator, device=session.device, dtype=torch.float64) * below[-1]
    rank = torch.searchsorted(below, u).clamp_(max=vocabulary - 2)
    return 1 + torch.randperm(vocabulary - 1, generator=generator, device=session.device)[rank]


def ragged(session, generator, rows, most):
    """Offsets of rows with 1 to `most` values each."""
    counts = torch.randint(1, most + 1, (rows,), generator=generator, device=session.device)
    return torch.nn.functional.pad(counts.cumsum(0), (1, 0))


def column(session, generator, name, rows, vocabulary, dim, most, draw=popular, missing=0.0):
    offsets = session.give(ragged(session, generator, rows, most)) if most > 1 else None
    count = int(offsets[-1]) if most > 1 else rows
    values = draw(session, generator, count, vocabulary)
    if missing > 0:
        values[torch.rand(count, generator=generator, device=session.device) < missing] = 0
    return Column(name, vocabulary, dim, offsets, session.give(values.int()))


# Vocabulary, share of missing values and most values a row of the features of goodbooks-10k
# (as in bench/Twintail.Bench/Data/StepData.cs).
GOODBOOKS = [("authors", 5834, 0, 2), ("language", 25, 0.11, 1), ("year_bin", 40, 0, 1), ("publisher_code", 758, 0.09, 1),
             ("series", 1686, 0.56, 1), ("genres", 51, 0, 12), ("tags", 3275, 0, 24), ("title_tokens", 8808, 0, 5)]
TINY = [("authors", 20, 0, 2), ("language", 5, 0.11, 1), ("tags", 30, 0, 4)]


class Clicks:
    """Items with an id and other features; users without features, each with a list of clicked items."""

    def __init__(self, session, items, users, most_clicks, columns, dim=64, seed=31):
        generator = session.generator(seed)
        self.items, self.users = items, users
        ids = session.give(torch.arange(1, items + 1, device=session.device, dtype=torch.int32))
        self.columns = [Column("item_id", items + 1, dim, None, ids)]
        self.columns += [column(session, generator, name, items, vocabulary, dim, most, missing=missing)
                         for name, vocabulary, missing, most in columns]
        drawn = ragged(session, generator, users, most_clicks)
        user = torch.repeat_interleave(torch.arange(users, device=session.device), drawn[1:] - drawn[:-1])
        pairs = torch.unique(user * items + popular(session, generator, len(user), items + 1) - 1)  # each pair once, by user
        lengths = torch.bincount(pairs // items, minlength=users)
        self.list_offsets = session.give(torch.nn.functional.pad(lengths.cumsum(0), (1, 0)))
        self.list_items = session.give((pairs % items).int())
        self.generator = generator
        # + 1: no item without a click, whose logarithm would be infinite
        self.counts = torch.bincount(self.list_items.long(), minlength=items).double() + 1

    def log_q(self):
        return (self.counts / self.counts.sum()).log().float()

    def listed(self, session):
        """(users, items) int32: each position of each list once, in random order."""
        lengths = self.list_offsets[1:] - self.list_offsets[:-1]
        users = torch.repeat_interleave(torch.arange(self.users, device=session.device), lengths)
        order = torch.randperm(len(users), generator=self.generator, device=session.device)
        return session.give(users[order].int()), session.give(self.list_items[order])

    def stream(self, session, count):
        """(users, items) int32: `count` clicks of uniform users on long-tailed items."""
        parts = [(torch.randint(self.users, (size,), generator=self.generator, device=session.device).int(),
                  (popular(session, self.generator, size, self.items + 1) - 1).int())
                 for size in (min(2**24, count - at) for at in range(0, count, 2**24))]  # in parts: float64 in between
        users, items = (torch.cat(list(side)) for side in zip(*parts))
        return session.give(users), session.give(items)
