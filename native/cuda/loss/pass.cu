// The sum over the splits of a pass.
#include "loss/pass.h"

namespace tt::cuda::loss {
namespace {

constexpr int kCombineThreads = 128;

// A warp a row; splits are added in their order.
template <bool kOnline>
__global__ void __launch_bounds__(kCombineThreads) combine_splits(Pass p, int width) {
  if (!p.condition.holds()) return;
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kCombineThreads + threadIdx.x) / 32;
  if (row >= p.nx) return;
  const int64_t nx = p.nx;
  float most = -INFINITY;
  if (kOnline)
    for (int split = 0; split < p.splits; split++) most = fmaxf(most, p.maxima[split * nx + row]);
  const float shift = most == -INFINITY ? 0.0f : most;
  const auto factor = [&](int split) {
    return kOnline ? ptx::exp2_approx(p.maxima[split * nx + row] - shift) : 1.0f;
  };
  if (p.products != nullptr) {
    for (int k = lane; k < width; k += 32) {
      float total = 0.0f;
      for (int split = 0; split < p.splits; split++)
        total += factor(split) * p.products[(split * nx + row) * width + k];
      p.products[row * width + k] = total;
    }
  }
  float sum = 0.0f;
  if (p.sums != nullptr)
    for (int split = 0; split < p.splits; split++) sum += factor(split) * p.sums[split * nx + row];
  __syncwarp();  // all lanes have read what lane 0 replaces
  if (lane != 0) return;
  if (p.sums != nullptr) p.sums[row] = sum;
  if (kOnline) p.maxima[row] = most;
}

}  // namespace

int balanced_splits(int64_t blocks, int64_t slots, int64_t most) {
  const int64_t fill = slots / blocks, limit = fill + 8 < most ? fill + 8 : most;
  int64_t best = 1;
  double best_busy = 0.0;
  for (int64_t splits = 1; splits <= limit; splits++) {
    const int64_t all = blocks * splits, rounds = (all + slots - 1) / slots;
    const double busy = static_cast<double>(all) / static_cast<double>(rounds * slots);
    if (busy <= best_busy) continue;
    best = splits;
    best_busy = busy;
    if (busy >= 0.95) break;
  }
  return static_cast<int>(best);
}

cudaError_t combine(const Pass& pass, bool online, int width, cudaStream_t stream) {
  if (pass.splits == 1) return cudaSuccess;
  const auto blocks = (static_cast<int64_t>(pass.nx) * 32 + kCombineThreads - 1) / kCombineThreads;
  const dim3 grid(static_cast<unsigned>(blocks));
  if (online) {
    return TT_LAUNCH(combine_splits<true>, grid, dim3(kCombineThreads), 0, stream, pass, width);
  }
  return TT_LAUNCH(combine_splits<false>, grid, dim3(kCombineThreads), 0, stream, pass, width);
}

}  // namespace tt::cuda::loss
