#include "retrieval/retrieval.h"

#include <limits>
#include <map>
#include <mutex>
#include <utility>

#include "retrieval/plan.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kSharedItems = 4096;  // lists up to here are sorted in shared memory

/// 1 / |row|, 0 where |row| < 1e-12; a warp a row.
__global__ void __launch_bounds__(kThreads)
    inverse_norms_kernel(const float* rows, int64_t count, int32_t d, float* inverse) {
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (row >= count) return;  // the whole warp
  double squares = 0.0;
  for (int32_t c = lane; c < d; c += 32) {
    const auto x = static_cast<double>(rows[row * d + c]);
    squares += x * x;
  }
  for (int step = 16; step > 0; step /= 2) squares += __shfl_xor_sync(0xFFFFFFFFu, squares, step);
  if (lane != 0) return;
  const double norm = sqrt(squares);
  inverse[row] = norm < 1e-12 ? 0.0f : static_cast<float>(1.0 / norm);
}

/// A block a query.
__global__ void __launch_bounds__(kThreads)
    sort_exclusions_kernel(const int64_t* offsets, const int32_t* items, int32_t* sorted) {
  TT_SHARED(int32_t, shared, [kSharedItems]);
  const int64_t begin = offsets[blockIdx.x], count = offsets[blockIdx.x + 1] - begin;
  const auto less = [](int32_t a, int32_t b) { return a < b; };
  const bool fits = count <= kSharedItems;
  int32_t* list = fits ? shared : sorted + begin;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) list[i] = items[begin + i];
  __syncthreads();
  block_sort<kThreads>(list, count, less);
  if (!fits) return;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sorted[begin + i] = list[i];
}

const float* inverse_norms(Context& context, Scope& scope, const float* rows, int64_t count,
                           int32_t d) {
  auto* inverse = scope.get<float>(count);
  if (count == 0) return inverse;
  check(TT_LAUNCH(inverse_norms_kernel, grid_for(32 * count, kThreads), dim3(kThreads), 0,
                  context.stream, rows, count, d, inverse),
        "retrieval: norms");
  return inverse;
}

}  // namespace

int64_t resident_blocks(const Device& device, const void* kernel, int threads) {
  static std::mutex mutex;
  static std::map<std::pair<const void*, int>, int> known;  // blocks of a multiprocessor
  const std::lock_guard<std::mutex> lock(mutex);
  int& blocks = known[{kernel, device.index}];
  if (blocks == 0) {
    check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads, 0), "retrieval");
    blocks = std::max(blocks, 1);
  }
  return int64_t{blocks} * device.multiprocessors;
}

Sides make_sides(Context& context, Scope& scope, const tt_retrieval_args& args) {
  const bool cosine = args.similarity == TT_COSINE;
  const auto side = [&](const float* rows, int64_t count) {
    return ScaledRows{Operand<true>::make(rows, count, args.d),
                      cosine ? inverse_norms(context, scope, rows, count, args.d) : nullptr};
  };
  return Sides{side(args.queries, args.n), side(args.items, args.m)};
}

Exclusions make_exclusions(Context& context, Scope& scope, const tt_retrieval_args& args) {
  if (args.exclude_offsets == nullptr) return Exclusions{nullptr, nullptr, 0};
  if (args.n > std::numeric_limits<int32_t>::max()) {
    unsupported(format("n: %lld queries with exclusions are more than the CUDA backend takes, %d",
                       static_cast<long long>(args.n), std::numeric_limits<int32_t>::max()));
  }
  int64_t total = 0;
  read(context, args.exclude_offsets + args.n, 1, &total, "retrieval: exclusions");
  if (total == 0) return Exclusions{nullptr, nullptr, 0};
  auto* sorted = scope.get<int32_t>(total);
  check(TT_LAUNCH(sort_exclusions_kernel, dim3(static_cast<unsigned>(args.n)), dim3(kThreads), 0,
                  context.stream, args.exclude_offsets, args.exclude_items, sorted),
        "retrieval: exclusions");
  return Exclusions{args.exclude_offsets, sorted, total};
}

}  // namespace tt::cuda
