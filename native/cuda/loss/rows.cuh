// What the kernels that take a warp a row share.
#pragma once

#include "device.h"

namespace tt::cuda::loss {

__device__ __forceinline__ double warp_sum(double x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

// One over the length of a row, for every lane; 0 for a row shorter than 1e-12. In double: squares of long rows must
// not overflow, nor short ones vanish.
__device__ __forceinline__ float inverse_length(const float* row, int d) {
  double square = 0.0;
  for (int k = static_cast<int>(ptx::lane_id()); k < d; k += 32)
    square += static_cast<double>(row[k]) * row[k];
  const double length = sqrt(warp_sum(square));
  return static_cast<float>(length < 1e-12 ? 0.0 : 1.0 / length);
}

}  // namespace tt::cuda::loss
