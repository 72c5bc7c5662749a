// Sums over the tiles before a tile while the blocks that have them are still at work: the decoupled look-back of
// Merrill and Garland, "Single-pass Parallel Prefix Scan with Decoupled Look-back", NVIDIA, 2016.
//
// A tile tells its own sum as soon as it knows it, and the sum up to and with itself once it knows that. Who wants the
// sum before a tile goes back from tile to tile until one knows its sum up to itself. Number and state are one word,
// so no other memory has to be ordered. Tiles are handed out in their order: whoever waits, waits for a block that
// runs. Sums of integers do not depend on who came how far.
#pragma once

#include "device.h"

namespace tt::cuda {

/// A tile's word: 0 while nothing is known, else a state above a sum below 2^62.
using TileWord = unsigned long long;
constexpr TileWord kTileSum = 1ull << 62;  // of the tile alone
constexpr TileWord kSumUpTo = 2ull << 62;  // of the tile and all before it
constexpr TileWord kStateBits = 3ull << 62;

__device__ __forceinline__ void tell(TileWord* word, TileWord state, TileWord sum) {
  ptx::store_relaxed(word, state | sum);
}

/// The next tile for the block, which calls it together and synchronises before it calls again. ticket: begins at 0.
__device__ __forceinline__ int64_t next_tile(TileWord* ticket) {
  TT_SHARED(int64_t, tile, );
  if (threadIdx.x == 0) tile = static_cast<int64_t>(atomicAdd(ticket, 1ull));
  __syncthreads();
  return tile;
}

/// The sum of the tiles before `tile`; tile t's word is words[t * stride]. A thread by itself.
__device__ __forceinline__ TileWord sum_before(const TileWord* words, int64_t tile,
                                               int64_t stride) {
  constexpr int kWindow = 8;  // words under way at once
  TileWord sum = 0;
  while (tile > 0) {
    TileWord seen[kWindow];
#pragma unroll
    for (int u = 0; u < kWindow; ++u) {
      seen[u] = tile > u ? ptx::load_relaxed(words + (tile - 1 - u) * stride) : kSumUpTo;
    }
    int known = 0;
#pragma unroll
    for (int u = 0; u < kWindow; ++u) {
      if (known < u || (seen[u] & kStateBits) == 0) continue;
      sum += seen[u] & ~kStateBits;
      if ((seen[u] & kStateBits) == kSumUpTo) return sum;
      ++known;
    }
    tile -= known;
  }
  return sum;
}

/// The same by a whole warp, for words that lie behind each other; the same in each lane.
__device__ __forceinline__ TileWord warp_sum_before(const TileWord* words, int64_t tile) {
  constexpr unsigned kAll = 0xFFFFFFFFu;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  TileWord own = 0;  // what this lane has added
  bool done = tile == 0;
  while (!done) {
    const TileWord seen = tile > lane ? ptx::load_relaxed(words + (tile - 1 - lane)) : kSumUpTo;
    const unsigned unknown = __ballot_sync(kAll, (seen & kStateBits) == 0);
    const unsigned ends = __ballot_sync(kAll, (seen & kStateBits) == kSumUpTo);
    const int known = unknown != 0 ? __ffs(static_cast<int>(unknown)) - 1 : 32;
    const int end =
        ends != 0 ? __ffs(static_cast<int>(ends)) : 33;  // lanes up to the first that ends it
    done = end <= known;
    const int taken = done ? end : known;
    if (lane < taken) own += seen & ~kStateBits;
    tile -= taken;
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) own += __shfl_xor_sync(kAll, own, step);
  return own;
}

}  // namespace tt::cuda
