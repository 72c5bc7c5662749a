// tt_fill_uniform, tt_sample_rows: the same draws as on the CPU.
#include "context.h"
#include "philox.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

// A thread a group of four elements.
__global__ void __launch_bounds__(kThreads)
    fill_uniform_kernel(PhiloxKey key, int64_t step, float lo, float range, int64_t count,
                        float* out) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (4 * group >= count) return;
  const PhiloxBlock u =
      philox(philox_counter(static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32), step,
                            0, 0, TT_DRAW_ELEMENT),
             key);
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    // Rounded twice, as the CPU does.
    if (4 * group + j < count)
      out[4 * group + j] = __fadd_rn(lo, __fmul_rn(range, philox_unit(u.v[j])));
  }
}

__global__ void __launch_bounds__(kThreads)
    sample_rows_kernel(PhiloxKey key, int64_t step, uint64_t bound, int64_t n, int32_t* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const PhiloxBlock u =
      philox(philox_counter(static_cast<uint32_t>(i), 0, step, 0, 0, TT_DRAW_ELEMENT), key);
  out[i] = static_cast<int32_t>(philox_below(u.v[0], u.v[1], bound));
}

}  // namespace

void fill_uniform(Context& context, uint64_t seed, uint32_t purpose, int64_t step, float lo,
                  float hi, int64_t count, float* out) {
  if (count == 0) return;
  check(TT_LAUNCH(fill_uniform_kernel, grid_for((count + 3) / 4, kThreads), dim3(kThreads), 0,
                  context.stream, philox_key(seed, purpose), step, lo, hi - lo, count, out),
        "fill_uniform");
}

void sample_rows(Context& context, uint64_t seed, uint32_t purpose, int64_t step, int64_t bound,
                 int64_t n, int32_t* out) {
  if (n == 0) return;
  check(TT_LAUNCH(sample_rows_kernel, grid_for(n, kThreads), dim3(kThreads), 0, context.stream,
                  philox_key(seed, purpose), step, static_cast<uint64_t>(bound), n, out),
        "sample_rows");
}

}  // namespace tt::cuda
