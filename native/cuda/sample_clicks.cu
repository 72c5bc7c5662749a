// tt_sample_clicks: the same clicks as on the CPU. A thread a click; the order's keys are arguments of the kernel.
#include "click_order.h"
#include "context.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    sample_clicks_kernel(ClickOrder order, const int32_t* users, const int32_t* items,
                         int64_t start, int64_t n, int32_t* out_users, int32_t* out_items) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= n) return;
  const uint64_t click = order.at(static_cast<uint64_t>(start + i));
  out_users[i] = users[click];
  out_items[i] = items[click];
}

}  // namespace

void sample_clicks(Context& context, uint64_t seed, uint32_t purpose, int64_t epoch,
                   const int32_t* users, const int32_t* items, int64_t count, int64_t start,
                   int64_t n, int32_t* out_users, int32_t* out_items) {
  check(TT_LAUNCH(sample_clicks_kernel, grid_for(n, kThreads), dim3(kThreads), 0, context.stream,
                  click_order(seed, purpose, epoch, count), users, items, start, n, out_users,
                  out_items),
        "sample_clicks");
}

}  // namespace tt::cuda
