// The k largest of many keys, by digits from the highest on, and what is kept then.
#pragma once

#include "retrieval/retrieval.h"

namespace tt::cuda {

constexpr int kDigits = 256;

/// The digit of the wanted-th largest key, of those whose higher digits are its own.
struct Digit {
  unsigned value;
  unsigned wanted;  // that many of the keys with this digit are among the best
  bool all;         // which are all of them
};

/// By a warp. histogram: [kDigits], with at least `wanted` keys. The same in each lane.
__device__ __forceinline__ Digit warp_digit(const unsigned* histogram, unsigned wanted) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  constexpr int kEach = kDigits / 32;
  // Lane l has the digits from 255 - 8 l downwards.
  const int top = kDigits - 1 - kEach * lane;
  unsigned own = 0;
  for (int i = 0; i < kEach; ++i) own += histogram[top - i];
  unsigned above = own;
  for (int step = 1; step < 32; step *= 2) {
    const unsigned other = __shfl_up_sync(0xFFFFFFFFu, above, static_cast<unsigned>(step));
    if (lane >= step) above += other;
  }
  const unsigned holders = __ballot_sync(0xFFFFFFFFu, above >= wanted);
  const int holder = __ffs(static_cast<int>(holders)) - 1;
  unsigned digit = 0, rest = 0;
  if (lane == holder) {
    rest = wanted - (above - own);
    int i = 0;
    while (histogram[top - i] < rest) rest -= histogram[top - i++];
    digit = static_cast<unsigned>(top - i);
    if (histogram[top - i] == rest) digit |= kDigits;
  }
  digit = __shfl_sync(0xFFFFFFFFu, digit, holder);
  rest = __shfl_sync(0xFFFFFFFFu, rest, holder);
  return Digit{digit % kDigits, rest, digit >= kDigits};
}

/// A warp finds a bound that just the k largest of keys [count] reach, all different, 1 <= k <= count: the k-th largest, or
/// where its first digits tell it from the next one, these alone. histogram: [kDigits], shared, the warp's own. The same
/// in each lane.
__device__ __forceinline__ RankKey warp_select(const RankKey* keys, int count, int k,
                                               unsigned* histogram) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  RankKey prefix = 0;
  unsigned wanted = static_cast<unsigned>(k);
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int i = lane; i < kDigits; i += 32) histogram[i] = 0;
    __syncwarp();
    for (int i = lane; i < count; i += 32) {
      const RankKey key = keys[i];
      if (shift != 56 && (key ^ prefix) >> (shift + 8) != 0) continue;
      atomicAdd(&histogram[key >> shift & 0xFFu], 1u);
    }
    __syncwarp();
    const Digit digit = warp_digit(histogram, wanted);
    prefix |= static_cast<RankKey>(digit.value) << shift;
    wanted = digit.wanted;
    __syncwarp();
    if (digit.all) break;
  }
  return prefix;
}

/// A warp moves the keys >= least to the front, in their order, and says how many there are.
__device__ __forceinline__ int warp_keep(RankKey* keys, int count, RankKey least) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int kept = 0;
  for (int first = 0; first < count; first += 32) {
    const int i = first + lane;
    const RankKey key = i < count ? keys[i] : 0;
    const bool keep = i < count && key >= least;
    const unsigned keeping = __ballot_sync(0xFFFFFFFFu, keep);
    __syncwarp();  // all lanes have read this part; what is written lies in it or before it
    if (keep) keys[kept + __popc(keeping & ((1u << lane) - 1))] = key;
    kept += __popc(keeping);
    __syncwarp();
  }
  return kept;
}

}  // namespace tt::cuda
