// Into how many slices the items are cut for blocks of queries, so that a device is full until the end.
#pragma once

#include <algorithm>
#include <cstdint>

#include "context.h"

namespace tt::cuda {

inline int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// The blocks that the device runs at once of a kernel without dynamic shared memory.
int64_t resident_blocks(const Device& device, const void* kernel, int threads);

struct Cut {
  int64_t slices;
  int64_t tiles;  // of a slice
  int64_t time;   // of all blocks, in tiles
};

struct CutLimits {
  int64_t slices;    // at most
  int64_t resident;  // blocks at once
  int64_t extra;     // what a block costs besides its tiles, in tiles
};

/// Blocks of one size run in waves, the last of which may leave most of the device idle. A wave more has room for more and
/// smaller slices: the best of some numbers of waves.
inline Cut cut_items(int64_t query_blocks, int64_t tiles, const CutLimits& limits) {
  constexpr int64_t kTried = 8;
  tiles = std::max<int64_t>(tiles, 1);
  const int64_t least_waves = ceil_divide(query_blocks, limits.resident);
  Cut best{0, 0, 0};
  for (int64_t waves = least_waves; waves < least_waves + kTried; ++waves) {
    const int64_t slices =
        std::clamp<int64_t>(waves * limits.resident / query_blocks, 1,
                            std::min(tiles, std::max<int64_t>(1, limits.slices)));
    const int64_t each = ceil_divide(tiles, slices), time = waves * (each + limits.extra);
    if (best.slices == 0 || time < best.time) best = Cut{ceil_divide(tiles, each), each, time};
  }
  return best;
}

}  // namespace tt::cuda
