// Several things in one launch: each has the blocks from its first_block on.
#pragma once

#include <cstdint>

#include "device.h"

namespace tt::cuda {

/// The item that this block works on; item.first_block ascends from 0.
template <class Item>
__device__ __forceinline__ const Item& item_of_block(const Item* items, int count) {
  int low = 0, high = count;  // first_block of low <= blockIdx.x < that of high
  while (high - low > 1) {
    const int middle = (low + high) / 2;
    if (items[middle].first_block <= blockIdx.x) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return items[low];
}

}  // namespace tt::cuda
