// Prefix sums.
#pragma once

#include "gather/extent.h"
#include "gather/zeroed.h"

namespace tt::cuda {

constexpr int kScanThreads = 256;
constexpr int kScanWarps = kScanThreads / 32;

/// The sum of `value` over the threads before this one; total: over all kScanThreads of the block, which
/// call it together.
template <class T>
__device__ __forceinline__ T block_exclusive_sum(T value, T& total) {
  TT_SHARED(T, warps, [kScanWarps]);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  T sum = value;
#pragma unroll
  for (int step = 1; step < 32; step *= 2) {
    const T before = __shfl_up_sync(0xFFFFFFFFu, sum, static_cast<unsigned>(step));
    if (lane >= step) sum += before;
  }
  if (lane == 31) warps[warp] = sum;
  __syncthreads();
  T before_warp = 0;
  total = 0;
  for (int w = 0; w < kScanWarps; ++w) {
    if (w == warp) before_warp = total;
    total += warps[w];
  }
  __syncthreads();  // before the next call writes
  return before_warp + sum - value;
}

/// items [count], none negative, become the sums of those before; *total: of all. total: device, may be items + count
/// where the host knows the count.
void exclusive_scan(Context& context, Zeroed& zeroed, int64_t* items, const Extent& count,
                    int64_t* total);

}  // namespace tt::cuda
