// What top_k and rank share: keys, norms, exclusions, scores.
#pragma once

#include <cstdint>

#include "context.h"
#include "retrieval/scores.h"

namespace tt::cuda {

/// Best first by score, then by lower id, as one unsigned number: larger is better. NaN is worst; 0 is no item.
using RankKey = unsigned long long;

/// A score as a number that grows with it: 0 for NaN, the same for -0 and 0.
__device__ __forceinline__ uint32_t ordered(float score) {
  const uint32_t bits = __float_as_uint(__fadd_rn(score, 0.0f));
  if (score != score) return 0;
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ RankKey rank_key(float score, int32_t id) {
  return static_cast<RankKey>(ordered(score)) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(id));
}
__device__ __forceinline__ float key_score(RankKey key) {
  const auto order = static_cast<uint32_t>(key >> 32);
  if (order == 0) return __uint_as_float(0x7FC00000u);
  return __uint_as_float((order & 0x80000000u) != 0 ? order & 0x7FFFFFFFu : ~order);
}
__device__ __forceinline__ int32_t key_id(RankKey key) {
  return static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(key));
}

Sides make_sides(Context& context, Scope& scope, const tt_retrieval_args& args);

/// Every query's exclusions, ascending, in a copy.
struct Exclusions {
  const int64_t* offsets;  // device [n + 1]; NULL: none
  const int32_t* items;
  int64_t total;

  __device__ __forceinline__ bool has(int64_t query, int32_t item) const {
    if (offsets == nullptr) return false;
    int64_t begin = offsets[query], end = offsets[query + 1];
    while (begin < end) {
      const int64_t middle = begin + (end - begin) / 2;
      if (items[middle] == item) return true;
      if (items[middle] < item)
        begin = middle + 1;
      else
        end = middle;
    }
    return false;
  }
};
/// Waits for the device if there is a list of exclusions, to learn how long it is.
Exclusions make_exclusions(Context& context, Scope& scope, const tt_retrieval_args& args);

/// Sorts items [count] so that no later one comes_first before an earlier one, by all kThreads of the block; in
/// global or shared memory that the block has synchronised, and synchronised at the end. A bitonic sort whose every
/// step puts the first of two to the front: what lies behind `count` counts as last and never moves.
template <int kThreads, class T, class ComesFirst>
__device__ __forceinline__ void block_sort(T* items, int64_t count, ComesFirst comes_first) {
  const auto exchange = [&](int64_t i, int64_t j) {
    if (j >= count) return;
    const T a = items[i], b = items[j];
    if (!comes_first(b, a)) return;
    items[i] = b;
    items[j] = a;
  };
  for (int64_t size = 2; size / 2 < count; size *= 2) {
    for (int64_t stride = size / 2; stride > 0; stride /= 2) {
      // Powers of 2: masks, since a division of 64-bit numbers is a call.
      const int64_t pairs = ((count + 2 * stride - 1) & -(2 * stride)) / 2;
      for (int64_t pair = threadIdx.x; pair < pairs; pair += kThreads) {
        const int64_t low = 2 * pair - (pair & (stride - 1));
        const int64_t high =
            2 * stride == size ? low + size - 1 - 2 * (low & (size - 1)) : low + stride;
        exchange(low, high);
      }
      __syncthreads();
    }
  }
}

}  // namespace tt::cuda
