// tt_clip.
#include <algorithm>

#include "context.h"

namespace tt::cpu {

void clip(Context& context, float low, float high, float* values, int64_t count) {
  constexpr int64_t kBlock = 1 << 14;
  context.pool.run((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(count, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const float v = values[i];
      values[i] = v < low ? low : v > high ? high : v;  // NaN is neither
    }
  });
}

}  // namespace tt::cpu
