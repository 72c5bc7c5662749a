// tt_dense_update.
#include <algorithm>

#include "context.h"
#include "isa_select.h"
#include "merge_kernels.h"

namespace tt::cpu {

void dense_update(Context& context, const tt_optimizer* optimizer, float* parameters,
                  const float* gradients, float* state1, float* state2, int64_t count) {
  constexpr int64_t kBlock = 1 << 14;
  const MergeKernels& kernels = TT_SELECT(context.isa, kMerge);
  const OptimizerPlan plan = make_plan(*optimizer);
  context.pool.run((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t begin = block * kBlock;
    const auto at = [begin](float* p) { return p != nullptr ? p + begin : nullptr; };
    kernels.dense(DenseJob{plan, parameters + begin, gradients + begin, at(state1), at(state2),
                           std::min(kBlock, count - begin)});
  });
}

}  // namespace tt::cpu
