"""Other ways to the same loss and gradients: PyTorch eager, torch.compile, and a Triton kernel of our own.

The Triton kernel follows the two-pass structure of Inf-CL (Cheng et al., "Breaking the Memory Barrier: Near Infinite
Batch Size Scaling for Contrastive Loss", 2024): a first pass over tiles keeps a running log-sum-exp per row, a second
recomputes each tile of scores and accumulates the gradients, those of queries and of candidates each in a kernel of
its own; the n x m matrix is never stored. The code is ours; unlike theirs it accumulates in registers, which
makes it the stronger peer.
"""
import torch
import torch.nn.functional as F

try:
    import triton
    import triton.language as tl
except ImportError:
    triton = None


def eager_loss(queries, candidates, log_q, inverse_temperature, dtype):
    """mean_i of -s_ii + log sum_j exp s_ij, s_ij = inverse_temperature cos(q_i, c_j) - log_q_j."""
    q = F.normalize(queries, dim=1).to(dtype)
    c = F.normalize(candidates, dim=1).to(dtype)
    scores = q @ c.T
    scores = (scores.float() if dtype == torch.bfloat16 else scores) * inverse_temperature - log_q  # float64: what others are held against
    return F.cross_entropy(scores, torch.arange(len(q), device=q.device))


def step_of(loss, queries, candidates, *rest):
    """One forward and backward; returns the gradients."""
    def step():
        queries.grad = candidates.grad = None
        loss(queries, candidates, *rest).backward()
        return queries.grad, candidates.grad
    return step


if triton is not None:
    @triton.jit
    def _row_block(x, rows, count, D: tl.constexpr):
        offsets = rows[:, None] * D + tl.arange(0, D)[None, :]
        return tl.load(x + offsets, mask=(rows < count)[:, None], other=0.0)

    @triton.jit
    def _forward(q, c, log_q, lse, n, m, scale, D: tl.constexpr, BN: tl.constexpr, BM: tl.constexpr):
        rows = tl.program_id(0) * BN + tl.arange(0, BN)
        a = _row_block(q, rows, n, D)
        top = tl.full([BN], float("-inf"), tl.float32)
        total = tl.zeros([BN], tl.float32)
        for j in range(0, m, BM):
            columns = j + tl.arange(0, BM)
            b = _row_block(c, columns, m, D)
            s = tl.dot(a, tl.trans(b)) * scale - tl.load(log_q + columns, mask=columns < m, other=0.0)[None, :]
            s = tl.where((columns < m)[None, :], s, float("-inf"))
            new = tl.maximum(top, tl.max(s, 1))
            total = total * tl.exp(top - new) + tl.sum(tl.exp(s - new[:, None]), 1)
            top = new
        tl.store(lse + rows, top + tl.log(total), mask=rows < n)

    @triton.jit
    def _grad_queries(q, c, log_q, lse, grad, n, m, scale, factor, D: tl.constexpr, BN: tl.constexpr, BM: tl.constexpr):
        rows = tl.program_id(0) * BN + tl.arange(0, BN)
        a = _row_block(q, rows, n, D)
        z = tl.load(lse + rows, mask=rows < n, other=0.0)
        total = tl.zeros([BN, D], tl.float32)
        for j in range(0, m, BM):
            columns = j + tl.arange(0, BM)
            b = _row_block(c, columns, m, D)
            s = tl.dot(a, tl.trans(b)) * scale - tl.load(log_q + columns, mask=columns < m, other=0.0)[None, :]
            p = tl.exp(s - z[:, None]) - (rows[:, None] == columns[None, :]).to(tl.float32)
            p = tl.where((columns < m)[None, :], p, 0.0)
            total += tl.dot(p.to(b.dtype), b)
        offsets = rows[:, None] * D + tl.arange(0, D)[None, :]
        tl.store(grad + offsets, total * factor, mask=(rows < n)[:, None])

    @triton.jit
    def _grad_candidates(q, c, log_q, lse, grad, n, m, scale, factor, D: tl.constexpr, BN: tl.constexpr, BM: tl.constexpr):
        columns = tl.program_id(0) * BM + tl.arange(0, BM)
        b = _row_block(c, columns, m, D)
        bias = tl.load(log_q + columns, mask=columns < m, other=0.0)
        total = tl.zeros([BM, D], tl.float32)
        for i in range(0, n, BN):
            rows = i + tl.arange(0, BN)
            a = _row_block(q, rows, n, D)
            z = tl.load(lse + rows, mask=rows < n, other=0.0)
            s = tl.dot(b, tl.trans(a)) * scale - bias[:, None]
            p = tl.exp(s - z[None, :]) - (rows[None, :] == columns[:, None]).to(tl.float32)
            p = tl.where((rows < n)[None, :], p, 0.0)
            total += tl.dot(p.to(a.dtype), a)
        offsets = columns[:, None] * D + tl.arange(0, D)[None, :]
        tl.store(grad + offsets, total * factor, mask=(columns < m)[:, None])


# Rows whose results a block keeps, rows that it goes through at a time, and warps; the larger first, since the time may not suffice for all.
TILES = [(128, 128, 8), (128, 64, 8), (128, 64, 4), (64, 64, 4)]


class TwoPass(torch.autograd.Function):
    """Of unit rows; D a power of two from 16 to 256. tiles: one of TILES."""

    @staticmethod
    def forward(ctx, q, c, log_q, inverse_temperature, tiles):
        n, d = q.shape
        m, (kept, passed, warps) = len(c), tiles
        q, c = q.contiguous(), c.contiguous()
        lse = torch.empty(n, device=q.device)
        _forward[(triton.cdiv(n, kept),)](q, c, log_q, lse, n, m, inverse_temperature, D=d, BN=kept, BM=passed, num_warps=warps)
        ctx.save_for_backward(q, c, log_q, lse)
        ctx.inverse_temperature, ctx.tiles = inverse_temperature, tiles
        positives = (q.float() * c[:n].float()).sum(1) * inverse_temperature - log_q[:n]
        return (lse - positives).mean()

    @staticmethod
    def backward(ctx, grad):
        q, c, log_q, lse = ctx.saved_tensors
        (n, d), m, scale, (kept, passed, warps) = q.shape, len(c), ctx.inverse_temperature, ctx.tiles
        grad_q, grad_c = torch.empty_like(q), torch.empty_like(c)
        rest = (n, m, scale, scale / n)
        _grad_queries[(triton.cdiv(n, kept),)](q, c, log_q, lse, grad_q, *rest, D=d, BN=kept, BM=passed, num_warps=warps)
        _grad_candidates[(triton.cdiv(m, kept),)](q, c, log_q, lse, grad_c, *rest, D=d, BN=passed, BM=kept, num_warps=warps)
        return grad_q * grad, grad_c * grad, None, None, None


def triton_loss(tiles):
    def loss(queries, candidates, log_q, inverse_temperature, dtype):
        return TwoPass.apply(F.normalize(queries, dim=1).to(dtype), F.normalize(candidates, dim=1).to(dtype), log_q,
                             inverse_temperature, tiles)
    return loss
