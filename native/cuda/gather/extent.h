// Numbers that only the device knows. The host plans memory and grids with a bound of them, so that nothing
// waits for the device; kernels go by the number itself.
#pragma once

#include <algorithm>
#include <cstdint>

#include "context.h"

namespace tt::cuda {

/// ceil(things / unit) * factor, where the number of things is known to the host or lies on the device.
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

  /// Tiles of `size` that hold all; size is a multiple of the factor.
  __host__ __device__ Extent tiles(int64_t size) const {
    Extent extent = *this;
    extent.unit_ = unit_ * (size / factor_);  // ceil(ceil(n / a) / b) = ceil(n / (a b))
    extent.factor_ = 1;
    return extent;
  }
  Extent times(int64_t factor) const {
    Extent extent = *this;
    extent.factor_ = factor_ * factor;
    return extent;
  }

  /// The bound: what memory and grids are sized by.
  int64_t most() const { return of(most_); }
  __device__ __forceinline__ int64_t count() const {
    return of(things_ != nullptr ? *things_ : most_);
  }

 private:
  __host__ __device__ int64_t of(int64_t things) const {
    return (things + unit_ - 1) / unit_ * factor_;
  }

  const int64_t* things_;  // device, or NULL: most_
  int64_t most_;
  int64_t unit_ = 1, factor_ = 1;
};

/// A grid whose blocks go over tiles in turns: enough to fill the device, and few enough that those which find
/// nothing to do cost nothing. tiles > 0.
inline dim3 grid_over(const Context& context, const Extent& tiles) {
  constexpr int64_t kBlocksPerMultiprocessor = 32;
  return dim3(static_cast<unsigned>(
      std::min(tiles.most(), kBlocksPerMultiprocessor * context.device.multiprocessors)));
}

}  // namespace tt::cuda
