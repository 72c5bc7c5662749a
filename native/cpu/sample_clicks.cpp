// tt_sample_clicks.
#include <algorithm>

#include "click_order.h"
#include "context.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlock = 1 << 10;
constexpr int64_t kGroup = 64;

// Places of a whole group are found before its clicks are read, so that the reads, each likely from memory, are under way together.
void draw_group(const ClickOrder& order, const int32_t* users, const int32_t* items, int64_t start,
                int64_t n, int32_t* out_users, int32_t* out_items) {
  uint64_t at[kGroup];
  for (int64_t i = 0; i < n; ++i) {
    at[i] = order.at(static_cast<uint64_t>(start + i));
    __builtin_prefetch(users + at[i]);
    __builtin_prefetch(items + at[i]);
  }
  for (int64_t i = 0; i < n; ++i) {
    out_users[i] = users[at[i]];
    out_items[i] = items[at[i]];
  }
}

}  // namespace

void sample_clicks(Context& context, uint64_t seed, uint32_t purpose, int64_t epoch,
                   const int32_t* users, const int32_t* items, int64_t count, int64_t start,
                   int64_t n, int32_t* out_users, int32_t* out_items) {
  const ClickOrder order = click_order(seed, purpose, epoch, count);
  context.pool.run((n + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(n, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; i += kGroup) {
      draw_group(order, users, items, start + i, std::min(kGroup, end - i), out_users + i,
                 out_items + i);
    }
  });
}

}  // namespace tt::cpu
