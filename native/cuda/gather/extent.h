// Numbers that only the device knows. The host plans memory and grids with a bound of them, so that nothing
// waits for the device; kernels go by the number itself.
#pragma once

#include <algorithm>
#include <cstdint>

#include "context.h"

namespace tt::cuda {

/// A number that is known to the host or lies on the device.
class Extent {
 public:
  /// A number that the host knows.
  Extent(int64_t count = 0) : things_(nullptr), most_(count) {}
  /// *things <= most.
  static Extent on_device(const int64_t* things, int64_t most) {
    Extent extent(most);
    extent.things_ = things;
    return extent;
  }

  /// The bound: what memory and grids are sized by.
  int64_t most() const { return most_; }
  __device__ __forceinline__ int64_t count() const { return things_ != nullptr ? *things_ : most_; }

 private:
  const int64_t* things_;  // device, or NULL: most_
  int64_t most_;
};

/// Tiles that hold `count` things.
template <int kTile>
__host__ __device__ __forceinline__ int64_t tiles_of(int64_t count) {
  return (count + (kTile - 1)) / kTile;
}

/// A grid whose blocks go over tiles in turns: enough to fill the device, and few enough that those which find
/// nothing to do cost nothing; one at least.
inline dim3 grid_over(const Context& context, int64_t tiles) {
  constexpr int64_t kBlocksPerMultiprocessor = 32;
  return dim3(static_cast<unsigned>(
      std::clamp<int64_t>(tiles, 1, kBlocksPerMultiprocessor * context.device.multiprocessors)));
}

}  // namespace tt::cuda
