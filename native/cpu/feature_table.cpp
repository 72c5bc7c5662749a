#include "feature_table.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>

namespace tt::cpu {
namespace {

constexpr int64_t kBlock = 1 << 16;

int64_t blocks_of(int64_t count) {
  return (count + kBlock - 1) / kBlock;
}

/// offsets [rows + 1] must start at 0, never fall, and end at count. Returns
/// the longest row.
int64_t check_offsets(Context& context, const std::string& name, const int64_t* offsets,
                      int64_t rows, int64_t count) {
  if (offsets[0] != 0) bad_argument(name + "[0]", "0", offsets[0]);
  std::atomic<int64_t> longest{0};
  context.pool.run(blocks_of(rows), [&](int64_t block, int) {
    const int64_t end = std::min(rows, (block + 1) * kBlock);
    int64_t longest_here = 0;
    for (int64_t r = block * kBlock; r < end; ++r) {
      if (offsets[r + 1] < offsets[r]) {
        bad_argument(format("%s[%lld]", name.c_str(), (long long)(r + 1)),
                     format("at least %lld, the offset before it", (long long)offsets[r]),
                     offsets[r + 1]);
      }
      longest_here = std::max(longest_here, offsets[r + 1] - offsets[r]);
    }
    int64_t seen = longest.load();
    while (seen < longest_here && !longest.compare_exchange_weak(seen, longest_here)) {
    }
  });
  if (offsets[rows] != count) {
    bad_argument(format("%s[%lld]", name.c_str(), (long long)rows),
                 format("%lld, the number of values", (long long)count), offsets[rows]);
  }
  return longest.load();
}

void check_ids(Context& context, const std::string& name, const int32_t* ids, int64_t count,
               int64_t bound) {
  context.pool.run(blocks_of(count), [&](int64_t block, int) {
    const int64_t begin = block * kBlock;
    const int64_t end = std::min(count, begin + kBlock);
    bool wrong = false;
    for (int64_t i = begin; i < end; ++i) wrong |= ids[i] < 0 || ids[i] >= bound;
    if (!wrong) return;
    for (int64_t i = begin; i < end; ++i) {
      if (ids[i] >= 0 && ids[i] < bound) continue;
      bad_argument(format("%s[%lld]", name.c_str(), (long long)i),
                   format("an id in [0, %lld)", (long long)bound), int64_t{ids[i]});
    }
  });
}

}  // namespace

void table_create(Context& context, const Table* table, void** table_impl) {
  int64_t longest_list = 0;
  if (table->list_offsets != nullptr) {
    longest_list =
        check_offsets(context, "list_offsets", table->list_offsets, table->rows, table->list_count);
    check_ids(context, "list_rows", table->list_rows, table->list_count, table->catalogue_rows);
  }
  for (int32_t f = 0; f < table->feature_count; ++f) {
    const tt_feature& feature = table->features[f];
    const std::string name = format("features[%d].", f);
    if (feature.offsets != nullptr) {
      check_offsets(context, name + "offsets", feature.offsets,
                    feature.through_list == 1 ? table->catalogue_rows : table->rows,
                    feature.value_count);
    }
    check_ids(context, name + "values", feature.values, feature.value_count, feature.vocabulary);
  }
  auto facts = std::make_unique<TableFacts>(context, *table);
  facts->longest_list = longest_list;
  for (int32_t f = 0; f < table->feature_count; ++f) {
    if (table->features[f].through_list == 1) facts->through_list |= uint64_t{1} << f;
  }
  *table_impl = facts.release();
}

void table_destroy(void* table_impl) {
  delete static_cast<TableFacts*>(table_impl);
}

}  // namespace tt::cpu
