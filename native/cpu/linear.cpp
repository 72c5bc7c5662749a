// tt_linear: BLAS on fixed blocks of rows, run by our own threads, so that the bits do not depend on how
// many there are.
#include <cblas.h>

#include <algorithm>
#include <cstring>

#include "blas_buffer.h"
#include "context.h"
#include "error.h"
#include "isa_select.h"
#include "linear_kernels.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 256;
constexpr int64_t kMostSplits = 32;              // of the rows, for the gradient of the weights
constexpr int64_t kMostPartialFloats = 1 << 24;  // 64 MiB

int64_t blocks_of(int64_t n) {
  return (n + kBlockRows - 1) / kBlockRows;
}

/// Before a thread multiplies. It does so in the blocks, for a buffer belongs to a thread, not to a context.
void need_buffer() {
  if (!blas::have_buffer()) out_of_memory(blas::kBufferBytes, -1, "a product's packed blocks");
}

struct Backward {
  const LinearKernels& kernels;
  int64_t n;
  int32_t in, out;
  const float* x;
  const float* weights;
  const float* y;  // NULL: no activation
  const float* grad_y;
  float* grad_x;
};

/// One block of rows: its gradient before the activation, and grad_x. Adds to the sums over rows,
/// which `first` overwrites. masked: [kBlockRows, out].
void backward_block(const Backward& b, int64_t block, bool first, float* masked, float* weight_sum,
                    float* bias_sum) {
  const int64_t begin = block * kBlockRows;
  const auto rows = static_cast<int>(std::min(kBlockRows, b.n - begin));
  const float* grad = b.grad_y + begin * b.out;
  if (b.y != nullptr) {
    b.kernels.mask(int64_t{rows} * b.out, b.y + begin * b.out, grad, masked);
    grad = masked;
  }
  if (b.grad_x != nullptr) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, b.in, b.out, 1.0f, grad, b.out,
                b.weights, b.in, 0.0f, b.grad_x + begin * b.in, b.in);
  }
  if (weight_sum != nullptr) {
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, b.out, b.in, rows, 1.0f, grad, b.out,
                b.x + begin * b.in, b.in, first ? 0.0f : 1.0f, weight_sum, b.in);
  }
  if (bias_sum != nullptr) b.kernels.add_columns(rows, b.out, grad, first, bias_sum);
}

/// total = the partial sums in order.
void add_partials(Context& context, const float* partials, int64_t splits, int64_t size,
                  float* total) {
  constexpr int64_t kStrip = 4096;
  const LinearKernels& kernels = TT_SELECT(context.isa, kLinear);
  context.pool.run((size + kStrip - 1) / kStrip, [&](int64_t strip, int) {
    const int64_t begin = strip * kStrip;
    const int64_t end = std::min(size, begin + kStrip);
    std::copy(partials + begin, partials + end, total + begin);
    for (int64_t s = 1; s < splits; ++s) {
      kernels.add(end - begin, partials + s * size + begin, total + begin);
    }
  });
}

}  // namespace

void linear(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
            const float* weights, const float* bias, int32_t activation, float* y) {
  const LinearKernels& kernels = TT_SELECT(context.isa, kLinear);
  context.pool.run(blocks_of(n), [&](int64_t block, int) {
    need_buffer();
    const int64_t begin = block * kBlockRows;
    const int64_t rows = std::min(kBlockRows, n - begin);
    float* to = y + begin * out;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows), out, in, 1.0f,
                x + begin * in, in, weights, in, 0.0f, to, out);
    kernels.finish(rows, out, bias, activation == TT_RELU, to);
  });
}

void linear_backward(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
                     const float* weights, int32_t activation, const float* y, const float* grad_y,
                     float* grad_x, float* grad_weights, float* grad_bias) {
  const int64_t weight_count = int64_t{in} * out;
  if (n == 0) {
    if (grad_weights != nullptr) std::fill(grad_weights, grad_weights + weight_count, 0.0f);
    if (grad_bias != nullptr) std::fill(grad_bias, grad_bias + out, 0.0f);
    return;
  }
  // The split follows from the shape alone.
  const int64_t blocks = blocks_of(n);
  const int64_t most = std::clamp(kMostPartialFloats / weight_count, int64_t{1}, kMostSplits);
  const int64_t blocks_per_split = (blocks + most - 1) / most;
  const int64_t splits = (blocks + blocks_per_split - 1) / blocks_per_split;

  ArenaScope scope(context.arena);
  const auto floats = [&](int64_t count) { return scope.get<float>(static_cast<size_t>(count)); };
  float* masked = floats(context.pool.threads() * kBlockRows * out);
  float* weight_sums = grad_weights != nullptr ? floats(splits * weight_count) : nullptr;
  float* bias_sums = grad_bias != nullptr ? floats(splits * out) : nullptr;
  const Backward b{TT_SELECT(context.isa, kLinear),     n,      in,    out, x, weights,
                   activation == TT_RELU ? y : nullptr, grad_y, grad_x};
  context.pool.run(splits, [&](int64_t split, int worker) {
    need_buffer();
    const int64_t first = split * blocks_per_split;
    const int64_t end = std::min(blocks, first + blocks_per_split);
    for (int64_t block = first; block < end; ++block) {
      backward_block(b, block, block == first, masked + worker * kBlockRows * out,
                     weight_sums != nullptr ? weight_sums + split * weight_count : nullptr,
                     bias_sums != nullptr ? bias_sums + split * out : nullptr);
    }
  });
  if (grad_weights != nullptr) {
    add_partials(context, weight_sums, splits, weight_count, grad_weights);
  }
  if (grad_bias != nullptr) add_partials(context, bias_sums, splits, out, grad_bias);
}

}  // namespace tt::cpu
