// tt_linear, tt_linear_backward: by cuBLASLt where there is one, else by kernels whose cuts of the sums follow from the
// shapes alone: the same bits on every GPU. The gradient of the bias is always the kernel's: it is summed in float64, and
// has the same bits whatever else is asked for, which cuBLASLt's BGRADB epilogue could not promise.
#include <algorithm>

#include "context.h"
#include "dense/product.h"

namespace tt::cuda {
namespace {

constexpr int kLargeTile = 128, kSmallTile = 64;
constexpr int kSumThreads = 256;
constexpr int64_t kLeastSplitRows = 128;  // of the gradient of the weights
constexpr int64_t kWantedBlocks = 512;
constexpr int64_t kMostSplits = 256;
constexpr int64_t kMostPartialFloats = 1 << 24;  // 64 MiB

int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

struct Epilogue {
  const float* bias;  // [columns] or NULL
  bool relu;

  __device__ __forceinline__ float operator()(float sum, int64_t column) const {
    if (bias != nullptr) sum = __fadd_rn(sum, bias[column]);
    return relu && sum < 0.0f ? 0.0f : sum;  // NaN stays
  }
};

/// out [splits, rows, columns]: of split s the sums over depths [s * split_depth, (s + 1) * split_depth).
struct Target {
  float* out;
  int64_t rows, columns, column_tiles, split_depth;
  bool quads;  // may be written by fours
};

template <class A, class B, int kTile>
__global__ void __launch_bounds__(kTile* kTile / (kThreadTile * kThreadTile))
    product_kernel(A a, B b, int64_t depth, Epilogue epilogue, Target target) {
  using P = Product<A, B, kTile, kTile>;
  TT_SHARED(float, shared, [P::kSharedFloats]);
  const int64_t row = static_cast<int64_t>(blockIdx.x) / target.column_tiles * kTile;
  const int64_t column = static_cast<int64_t>(blockIdx.x) % target.column_tiles * kTile;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * target.split_depth;
  float sums[kThreadTile][kThreadTile];
  P::run(a, b, row, column, begin, min(depth, begin + target.split_depth), shared, sums);
  float* out = target.out + static_cast<int64_t>(blockIdx.y) * target.rows * target.columns;
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
    const int64_t r = row + P::row_of(i);
    if (r >= target.rows) continue;
#pragma unroll
    for (int half = 0; half < kThreadTile; half += 4) {
      const int64_t c = column + P::column_of(half);
      float* to = out + r * target.columns + c;
      if (target.quads && c < target.columns) {
        *reinterpret_cast<float4*>(to) =
            make_float4(epilogue(sums[i][half], c), epilogue(sums[i][half + 1], c + 1),
                        epilogue(sums[i][half + 2], c + 2), epilogue(sums[i][half + 3], c + 3));
        continue;
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (c + j < target.columns) to[j] = epilogue(sums[i][half + j], c + j);
      }
    }
  }
}

template <class A, class B>
void multiply(Context& context, const A& a, const B& b, int64_t rows, int64_t columns,
              int64_t depth, int64_t splits, int64_t split_depth, const Epilogue& epilogue,
              float* out, const char* doing) {
  const auto launch = [&](auto tile) {
    constexpr int kTile = decltype(tile)::value;
    const int64_t column_tiles = ceil_divide(columns, kTile);
    const Target target{out,          rows,        columns,
                        column_tiles, split_depth, is_aligned(out) && columns % 4 == 0};
    const dim3 grid(static_cast<unsigned>(ceil_divide(rows, kTile) * column_tiles),
                    static_cast<unsigned>(splits));
    check(
        TT_LAUNCH((product_kernel<A, B, kTile>), grid, dim3(Product<A, B, kTile, kTile>::kThreads),
                  0, context.stream, a, b, depth, epilogue, target),
        doing);
  };
  // Large tiles read less, but only where they keep every multiprocessor busy; the bits are the same.
  const int64_t large = ceil_divide(rows, kLargeTile) * ceil_divide(columns, kLargeTile) * splits;
  if (columns > kSmallTile && rows > kSmallTile && large >= 2 * context.device.multiprocessors)
    launch(std::integral_constant<int, kLargeTile>());
  else
    launch(std::integral_constant<int, kSmallTile>());
}

/// total [size] = the partial sums [splits, size] in order.
__global__ void __launch_bounds__(kSumThreads)
    add_partials_kernel(const float* partials, int64_t splits, int64_t size, float* total) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kSumThreads + threadIdx.x;
  if (i >= size) return;
  float sum = partials[i];
  for (int64_t s = 1; s < splits; ++s) sum += partials[s * size + i];
  total[i] = sum;
}

void add_partials(Context& context, const float* partials, int64_t splits, int64_t size,
                  float* total) {
  check(TT_LAUNCH(add_partials_kernel, grid_for(size, kSumThreads), dim3(kSumThreads), 0,
                  context.stream, partials, splits, size, total),
        "linear_backward");
}

constexpr int kBiasColumns = 32, kBiasRows = kSumThreads / kBiasColumns;

/// What a backward pass makes of the gradients [n, out] themselves.
struct GradientColumns {
  MaskedOperand<true> gradients;
  int64_t n, out, split_rows;
  float* masked;       // [n, out]: those that the ReLU let through; or NULL
  float* grad_bias;    // [out]: their sums, in float64 as on the CPU; or NULL
  double* sums;        // [splits, out]
  unsigned* counters;  // zero, one for each of gridDim.x, and left so
};

/// The thread's rows of its column.
__device__ __forceinline__ double sum_rows(const GradientColumns& job, int64_t column, int y) {
  const float* gradients = job.gradients.gradients.values;
  const float* outputs = job.gradients.outputs.values;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * job.split_rows;
  const int64_t end = min(job.n, begin + job.split_rows);
  double sum = 0.0;
#pragma unroll 4
  for (int64_t r = begin + y; r < end; r += kBiasRows) {
    const int64_t at = r * job.out + column;
    const bool passes = outputs == nullptr || outputs[at] > 0.0f;
    const float g = passes ? gradients[at] : 0.0f;
    if (passes) sum += static_cast<double>(g);
    if (job.masked != nullptr) job.masked[at] = g;
  }
  return sum;
}

/// Whichever block of a column comes last adds up the splits, in their order.
__global__ void __launch_bounds__(kSumThreads) gradient_columns_kernel(GradientColumns job) {
  TT_SHARED(double, shared, [kBiasRows][kBiasColumns]);
  TT_SHARED(bool, last, );
  const int x = static_cast<int>(threadIdx.x) % kBiasColumns;
  const int y = static_cast<int>(threadIdx.x) / kBiasColumns;
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kBiasColumns + x;
  const bool there = column < job.out;
  const auto sum_of_block = [&](double own) {  // in the first row of threads
    __syncthreads();                           // shared may still be read
    shared[y][x] = own;
    __syncthreads();
    double sum = 0.0;
    for (int other = 0; y == 0 && other < kBiasRows; ++other) sum += shared[other][x];
    return sum;
  };
  double sum = there ? sum_rows(job, column, y) : 0.0;
  if (job.grad_bias == nullptr) return;
  sum = sum_of_block(sum);
  if (gridDim.y > 1) {
    if (y == 0 && there) job.sums[static_cast<int64_t>(blockIdx.y) * job.out + column] = sum;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
      last = atomicInc(job.counters + blockIdx.x, gridDim.y - 1) == gridDim.y - 1;
    __syncthreads();
    if (!last) return;
    __threadfence();
    sum = 0.0;
#pragma unroll 4
    for (unsigned s = static_cast<unsigned>(y); there && s < gridDim.y; s += kBiasRows)
      sum += __ldcg(job.sums + static_cast<int64_t>(s) * job.out + column);
    sum = sum_of_block(sum);
  }
  if (y == 0 && there) job.grad_bias[column] = static_cast<float>(sum);
}

struct Splits {
  int64_t count, depth;
};

/// Of n rows for a result of `tiles` tiles of `size` floats.
Splits split_rows(int64_t n, int64_t tiles, int64_t size) {
  const int64_t most = std::max<int64_t>(
      1, std::min({kMostSplits, ceil_divide(kWantedBlocks, tiles), kMostPartialFloats / size}));
  const int64_t rows = std::max(kLeastSplitRows, ceil_divide(n, most));
  const int64_t depth = ceil_divide(rows, kTileDepth) * kTileDepth;
  return Splits{ceil_divide(n, depth), depth};
}

template <bool kAlong>
MaskedOperand<kAlong> masked_operand(const float* grad_y, const float* y, int64_t rows,
                                     int64_t depth) {
  return MaskedOperand<kAlong>{Operand<kAlong>::make(grad_y, rows, depth),
                               Operand<kAlong>::make(y, rows, depth)};
}

void weight_gradient(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
                     const float* y, const float* grad_y, float* grad_weights) {
  const int64_t size = int64_t{in} * out;
  const int64_t tiles = ceil_divide(in, kSmallTile) * ceil_divide(out, kSmallTile);
  const Splits splits = split_rows(n, tiles, size);
  Scope scope(context.workspace);
  float* sums = splits.count == 1 ? grad_weights : scope.get<float>(splits.count * size);
  multiply(context, masked_operand<false>(grad_y, y, out, n), Operand<false>::make(x, in, n), out,
           in, n, splits.count, splits.depth, Epilogue{nullptr, false}, sums, "linear_backward");
  if (splits.count > 1) add_partials(context, sums, splits.count, size, grad_weights);
}

/// masked, grad_bias: as in GradientColumns; not both NULL. y NULL: no ReLU.
void gradient_columns(Context& context, Scope& scope, int64_t n, int32_t out, const float* y,
                      const float* grad_y, float* masked, float* grad_bias) {
  const int64_t blocks = ceil_divide(out, kBiasColumns);
  const Splits splits = split_rows(n, blocks, out);
  GradientColumns job{};
  job.gradients = masked_operand<true>(grad_y, y, n, out);
  job.n = n;
  job.out = out;
  job.split_rows = splits.depth;
  job.masked = masked;
  job.grad_bias = grad_bias;
  if (grad_bias != nullptr && splits.count > 1) {
    static_assert(kWantedBlocks <= Context::kCounters, "splits are of fewer blocks than that");
    job.sums = scope.get<double>(splits.count * out);
    job.counters = context.counters();
  }
  const dim3 grid(static_cast<unsigned>(blocks), static_cast<unsigned>(splits.count));
  check(TT_LAUNCH(gradient_columns_kernel, grid, dim3(kSumThreads), 0, context.stream, job),
        "linear_backward");
}

constexpr int kMaskThreads = 256;

/// y [size], rows of `columns`: what the library's products are without.
__global__ void __launch_bounds__(kMaskThreads)
    finish_kernel(Epilogue epilogue, int64_t size, int64_t columns, float* y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kMaskThreads + threadIdx.x;
  if (i < size) y[i] = epilogue(y[i], i % columns);
}

// Row-major matrices are the transposed column-major ones: y^T [out, n] = weights^T x^T, and so on.

bool linear_by_library(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
                       const float* weights, const float* bias, int32_t activation, float* y) {
  if (!context.cublaslt.available()) return false;
  Scope scope(context.workspace);
  const bool relu = activation == TT_RELU;
  const bool adds_bias = !relu && reinterpret_cast<uintptr_t>(bias) % cublaslt::kBiasAlignment == 0;
  const ColumnProduct product{out, n, in, true, false, weights, x, adds_bias ? bias : nullptr, y};
  if (!context.cublaslt.multiply(context, scope, product)) return false;
  if (relu || (bias != nullptr && !adds_bias)) {
    check(TT_LAUNCH(finish_kernel, grid_for(n * out, kMaskThreads), dim3(kMaskThreads), 0,
                    context.stream, Epilogue{bias, relu}, n * out, int64_t{out}, y),
          "linear");
  }
  return true;
}

/// Sets to NULL what it has put on the stream. y NULL: no ReLU.
void backward_by_library(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
                         const float* weights, const float* y, const float* grad_y, float*& grad_x,
                         float*& grad_weights, float*& grad_bias) {
  if (!context.cublaslt.available() || (grad_x == nullptr && grad_weights == nullptr)) return;
  Scope scope(context.workspace);
  const float* gradients = grad_y;
  if (y != nullptr) {
    auto* masked = scope.get<float>(n * out);
    gradient_columns(context, scope, n, out, y, grad_y, masked, grad_bias);
    grad_bias = nullptr;
    gradients = masked;
  }
  const auto done = [&](const ColumnProduct& product) {
    return context.cublaslt.multiply(context, scope, product);
  };
  if (grad_x != nullptr &&
      done(ColumnProduct{in, n, out, false, false, weights, gradients, nullptr, grad_x})) {
    grad_x = nullptr;
  }
  if (grad_weights != nullptr &&
      done(ColumnProduct{in, out, n, false, true, x, gradients, nullptr, grad_weights})) {
    grad_weights = nullptr;
  }
}

}  // namespace

void linear(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
            const float* weights, const float* bias, int32_t activation, float* y) {
  if (n == 0) return;
  if (linear_by_library(context, n, in, out, x, weights, bias, activation, y)) return;
  multiply(context, Operand<true>::make(x, n, in), Operand<true>::make(weights, out, in), n, out,
           in, 1, in, Epilogue{bias, activation == TT_RELU}, y, "linear");
}

void linear_backward(Context& context, int64_t n, int32_t in, int32_t out, const float* x,
                     const float* weights, int32_t activation, const float* y, const float* grad_y,
                     float* grad_x, float* grad_weights, float* grad_bias) {
  const auto zero = [&](float* p, int64_t count) {
    if (p == nullptr) return;
    check(cudaMemsetAsync(p, 0, static_cast<size_t>(count) * sizeof(float), context.stream),
          "linear_backward");
  };
  if (n == 0) {
    zero(grad_weights, int64_t{in} * out);
    zero(grad_bias, out);
    return;
  }
  if (activation != TT_RELU) y = nullptr;
  backward_by_library(context, n, in, out, x, weights, y, grad_y, grad_x, grad_weights, grad_bias);
  if (grad_x != nullptr) {
    multiply(context, masked_operand<true>(grad_y, y, n, out),
             Operand<false>::make(weights, in, out), n, in, out, 1, out, Epilogue{nullptr, false},
             grad_x, "linear_backward");
  }
  if (grad_weights != nullptr) weight_gradient(context, n, in, out, x, y, grad_y, grad_weights);
  if (grad_bias == nullptr) return;
  Scope scope(context.workspace);
  gradient_columns(context, scope, n, out, y, grad_y, nullptr, grad_bias);
}

}  // namespace tt::cuda
