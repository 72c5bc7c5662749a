// tt_clip: the CPU's bits.
#include "context.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    clip_kernel(float low, float high, float* values, int64_t count) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const float v = values[i];
  values[i] = v < low ? low : v > high ? high : v;  // NaN is neither
}

}  // namespace

void clip(Context& context, float low, float high, float* values, int64_t count) {
  check(TT_LAUNCH(clip_kernel, grid_for(count, kThreads), dim3(kThreads), 0, context.stream, low,
                  high, values, count),
        "clip");
}

}  // namespace tt::cuda
