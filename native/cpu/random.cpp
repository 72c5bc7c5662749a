// tt_fill_uniform, tt_sample_rows.
#include <algorithm>

#include "context.h"
#include "philox.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlock = 1 << 14;  // a multiple of 4

}  // namespace

void fill_uniform(Context& context, uint64_t seed, uint32_t purpose, int64_t step, float lo,
                  float hi, int64_t count, float* out) {
  const PhiloxKey key = philox_key(seed, purpose);
  const float range = hi - lo;
  context.pool.run((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(count, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; i += 4) {
      const auto group = static_cast<uint64_t>(i / 4);
      const PhiloxBlock u =
          philox(philox_counter(static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32),
                                step, 0, 0, TT_DRAW_ELEMENT),
                 key);
      const int64_t left = std::min<int64_t>(4, end - i);
      for (int64_t j = 0; j < left; ++j) out[i + j] = lo + range * philox_unit(u.v[j]);
    }
  });
}

void sample_rows(Context& context, uint64_t seed, uint32_t purpose, int64_t step, int64_t bound,
                 int64_t n, int32_t* out) {
  const PhiloxKey key = philox_key(seed, purpose);
  context.pool.run((n + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(n, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) {
      const PhiloxBlock u =
          philox(philox_counter(static_cast<uint32_t>(i), 0, step, 0, 0, TT_DRAW_ELEMENT), key);
      out[i] = static_cast<int32_t>(philox_below(u.v[0], u.v[1], static_cast<uint64_t>(bound)));
    }
  });
}

}  // namespace tt::cpu
