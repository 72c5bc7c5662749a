// tt_embedding_gather: pooled embedding rows of every feature, both views of a row in one pass.
#include <cstring>

#include "gather_kernels.h"
#include "isa_select.h"
#include "lookups.h"
#include "shared_lists.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 2 * kChunkRows;
constexpr int kIdCapacity = 8192;
constexpr int kBagCapacity = 1024;

/// Collects the ids of a feature's bags and pools them when the strip or the buffer ends.
class PoolSink {
 public:
  struct Buffers {
    int32_t ids[kIdCapacity + kReadAhead];
    Bag bags[kBagCapacity];
  };

  PoolSink(const Table& table, const tt_embedding* embeddings, const int64_t* columns,
           const GatherKernels& kernels, Buffers& buffers, bool stream, bool plain_sums = false)
      : table_(table),
        embeddings_(embeddings),
        columns_(columns),
        kernels_(kernels),
        buffers_(buffers),
        stream_(stream),
        plain_sums_(plain_sums) {}

  void feature(int32_t f) {
    flush();
    feature_ = f;
    for (int64_t n = 1; n <= kReadable; ++n) short_scales_[n] = scale(n);
  }

  void short_bag(const PlannedView& planned, int64_t row, int32_t f, const int32_t* ids,
                 int64_t count) {
    if (bag_count_ == kBagCapacity || used_ + kReadable > kIdCapacity) flush();
    buffers_.bags[bag_count_++] = Bag{planned.view->vectors + row * planned.view->ld + columns_[f],
                                      static_cast<int32_t>(count), short_scales_[count], 1, 1};
    // A copy of fixed size: no loop whose end would be mispredicted.
    std::memcpy(buffers_.ids + used_, ids, kReadable * sizeof(int32_t));
    used_ += static_cast<int32_t>(count);
  }

  void begin(const PlannedView& planned, int64_t row, int32_t f) {
    if (bag_count_ == kBagCapacity) flush();
    bag_ = &buffers_.bags[bag_count_++];
    *bag_ = Bag{planned.view->vectors + row * planned.view->ld + columns_[f], 0, 1.0f, 1, 0};
    total_ = 0;
  }

  void ids(const int32_t* ids, int64_t count, int64_t readable) {
    total_ += count;
    if (count <= kReadable && readable >= kReadable && used_ + kReadable <= kIdCapacity) {
      std::memcpy(buffers_.ids + used_, ids, kReadable * sizeof(int32_t));
      used_ += static_cast<int32_t>(count);
      bag_->count += static_cast<int32_t>(count);
      return;
    }
    while (count > 0) {
      if (used_ == kIdCapacity) split_bag();
      const int64_t part = std::min<int64_t>(count, kIdCapacity - used_);
      for (int64_t i = 0; i < part; ++i) buffers_.ids[used_ + i] = ids[i];
      used_ += static_cast<int32_t>(part);
      bag_->count += static_cast<int32_t>(part);
      ids += part;
      count -= part;
    }
  }

  void end() {
    bag_->scale = scale(total_);
    bag_->last = 1;
  }

  void strip_end() { flush(); }

 private:
  float scale(int64_t count) const {
    return plain_sums_ ? 1.0f : pooling_scale(table_.features[feature_].pooling, count);
  }

  /// The buffer is full in the middle of a bag: pool what is there, and go on with the same sum.
  void split_bag() {
    float* out = bag_->out;
    flush();
    bag_ = &buffers_.bags[bag_count_++];
    *bag_ = Bag{out, 0, 1.0f, 0, 0};
  }

  void flush() {
    if (bag_count_ == 0) return;
    for (int i = 0; i < kReadAhead; ++i) buffers_.ids[used_ + i] = 0;
    const tt_embedding& embedding = embeddings_[table_.features[feature_].embedding];
    kernels_.pool(PoolJob{embedding.weights, embedding.dim, embedding.dim, embedding.dtype,
                          buffers_.ids, buffers_.bags, bag_count_, stream_});
    used_ = 0;
    bag_count_ = 0;
  }

  const Table& table_;
  const tt_embedding* embeddings_;
  const int64_t* columns_;
  const GatherKernels& kernels_;
  Buffers& buffers_;
  bool stream_;
  bool plain_sums_;  // whatever the features' pooling
  float short_scales_[kReadable + 1] = {};
  Bag* bag_ = nullptr;
  int32_t feature_ = 0;
  int32_t used_ = 0;
  int64_t bag_count_ = 0;
  int64_t total_ = 0;
};

/// Long blocks, for each one's strips to be long, but some for every thread. No row's vector depends on it.
int64_t rows_per_block(const tt_gather_view* views, int32_t view_count, int threads) {
  constexpr int64_t kBlocksPerThread = 4;
  int64_t rows = 0;
  for (int32_t v = 0; v < view_count; ++v) rows = std::max(rows, views[v].n);
  const int64_t chunks = (rows + kChunkRows - 1) / kChunkRows / (kBlocksPerThread * threads);
  return std::clamp<int64_t>(chunks * kChunkRows, kBlockRows, kStripRows);
}

/// Whether the results are too large to stay in a cache beside the rows they are summed of: stores past it then spare
/// reading each line before it is written.
bool past_caches(const tt_gather_view* views, int32_t view_count, int64_t width) {
  constexpr int64_t kFrom = int64_t{4} << 20;
  int64_t floats = 0;
  for (int32_t v = 0; v < view_count; ++v) floats += views[v].n * width;
  return floats * static_cast<int64_t>(sizeof(float)) >= kFrom;
}

struct Worker {
  WalkScratch* walk;
  PoolSink::Buffers* buffers;
};

/// sums [slot_count, width]: every distinct catalogue row of the lists, its values summed.
float* sum_slots(Context& context, ArenaScope& scope, const Table& table,
                 const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                 const GatherKernels& kernels, const SharedLists& lists, const Worker* workers) {
  auto* sums = scope.get<float>(static_cast<size_t>(lists.slot_count * width));
  tt_gather_view view = *lists.planned.view;
  view.vectors = sums;
  view.ld = width;
  const PlannedView planned{&view, lists.planned.index, lists.planned.plan};
  const PackedRows& records = facts_of(table).listed;
  context.pool.run((lists.slot_count + kBlockRows - 1) / kBlockRows, [&](int64_t block, int w) {
    PoolSink sink(table, embeddings, columns, kernels, *workers[w].buffers, false, true);
    const int64_t end = std::min(lists.slot_count, (block + 1) * kBlockRows);
    for_each_feature(lists.features, [&](int32_t f) {
      sink.feature(f);
      for (int64_t s = block * kBlockRows; s < end; ++s) {
        const PackedRows::Values values = records.values(f, lists.slot_rows[s]);
        sink.begin(planned, s, f);
        if (values.count > 0) sink.ids(values.ids, values.count, kReadable);
        sink.end();
      }
    });
    sink.strip_end();
  });
  return sums;
}

}  // namespace

void embedding_gather(Context& context, const Table* table, const tt_embedding* embeddings,
                      int32_t /*embedding_count*/, const tt_gather_view* views,
                      int32_t view_count) {
  ArenaScope scope(context.arena);
  const GroupedViews grouped = GroupedViews::make(
      scope, *table, views, view_count, rows_per_block(views, view_count, context.pool.threads()));
  int64_t columns[TT_MAX_FEATURES];
  const int64_t width = feature_columns(*table, embeddings, columns);
  auto* workers = scope.get<Worker>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w) {
    workers[w] = Worker{WalkScratch::get(context, scope, *table), scope.get<PoolSink::Buffers>(1)};
  }
  const GatherKernels& kernels = TT_SELECT(context.isa, kGather);
  const bool stream = past_caches(views, view_count, width);

  auto* features = scope.get<uint64_t>(static_cast<size_t>(grouped.group_count));
  for (int32_t g = 0; g < grouped.group_count; ++g) {
    features[g] = all_features(*table);
    ArenaScope list_scope(context.arena);
    const SharedLists* lists = share_lists(context, list_scope, *table, grouped.groups[g]);
    if (lists == nullptr) continue;
    features[g] &= ~lists->features;
    const float* sums = sum_slots(context, list_scope, *table, embeddings, columns, width, kernels,
                                  *lists, workers);
    pool_lists(context, list_scope, *table, embeddings, columns, width, kernels, *lists, sums);
  }
  context.pool.run(grouped.blocks(), [&](int64_t index, int w) {
    const GroupedViews::Block block = grouped.block(index);
    const uint64_t walked = features[block.group - grouped.groups];
    if (walked == 0) return;
    check_rows(*table, *block.group, block.begin, block.end);
    PoolSink sink(*table, embeddings, columns, kernels, *workers[w].buffers, stream);
    Walk<PoolSink>(*table, walked, *block.group, *workers[w].walk, sink)
        .rows(block.begin, block.end);
  });
}

}  // namespace tt::cpu
