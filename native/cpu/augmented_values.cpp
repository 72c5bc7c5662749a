// tt_augmented_values: what a view keeps of one feature, for previews and tests.
#include <algorithm>

#include "lookups.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 4 * kChunkRows;

/// Counts each bag into offsets[row + 1], or writes its values from offsets[row] on.
class ValueSink {
 public:
  ValueSink(int64_t* offsets, int32_t* values) : offsets_(offsets), values_(values) {}

  void feature(int32_t) {}
  void begin(const PlannedView&, int64_t row, int32_t) {
    row_ = row;
    count_ = 0;
  }
  void ids(const int32_t* ids, int64_t count, int64_t /*readable*/) {
    if (values_ != nullptr) std::copy(ids, ids + count, values_ + offsets_[row_] + count_);
    count_ += count;
  }
  void end() {
    if (values_ == nullptr) offsets_[row_ + 1] = count_;
  }
  void short_bag(const PlannedView& planned, int64_t row, int32_t f, const int32_t* values,
                 int64_t count) {
    begin(planned, row, f);
    ids(values, count, kReadable);
    end();
  }
  void strip_end() {}

 private:
  int64_t* offsets_;
  int32_t* values_;
  int64_t row_ = 0;
  int64_t count_ = 0;
};

}  // namespace

void augmented_values(Context& context, const Table* table, const tt_gather_view* view,
                      int32_t feature, uint64_t* masks, int64_t* offsets, int32_t* values,
                      int64_t capacity) {
  ArenaScope scope(context.arena);
  const GroupedViews grouped = GroupedViews::make(scope, *table, view, 1, kBlockRows);
  const PlannedView& planned = grouped.groups[0].views[0];
  auto* scratch = scope.get<WalkScratch*>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w)
    scratch[w] = WalkScratch::get(context, scope, *table);

  const auto walk = [&](int32_t* to) {
    context.pool.run(grouped.blocks(), [&](int64_t index, int w) {
      const GroupedViews::Block block = grouped.block(index);
      check_rows(*table, *block.group, block.begin, block.end);
      ValueSink sink(offsets, to);
      Walk<ValueSink>(*table, uint64_t{1} << feature, *block.group, *scratch[w], sink)
          .rows(block.begin, block.end);
    });
  };
  walk(nullptr);
  offsets[0] = 0;
  for (int64_t i = 0; i < view->n; ++i) offsets[i + 1] += offsets[i];
  for (int64_t i = 0; masks != nullptr && i < view->n; ++i) {
    masks[i] = feature_mask(planned.plan, static_cast<uint32_t>(view->row_base + i));
  }
  if (values == nullptr) return;
  if (offsets[view->n] > capacity) {
    bad_argument("capacity", format("at least %lld", (long long)offsets[view->n]), capacity);
  }
  walk(values);
}

}  // namespace tt::cpu
