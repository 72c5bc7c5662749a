// tt_embedding_gather: pooled embedding rows of every feature, both views of a row in one pass.
#include <cstring>

#include "gather_kernels.h"
#include "isa_select.h"
#include "lookups.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 2 * kChunkRows;
constexpr int kShort = 8;
constexpr int kIdCapacity = 4096;
constexpr int kBagCapacity = kChunkRows * kMostGroupViews;

/// Collects the ids of a feature's bags and pools them when the chunk or the buffer ends.
class PoolSink {
 public:
  struct Buffers {
    int32_t ids[kIdCapacity + kReadAhead];
    Bag bags[kBagCapacity];
  };

  PoolSink(const Table& table, const tt_embedding* embeddings, const int64_t* columns,
           const GatherKernels& kernels, Buffers& buffers)
      : table_(table),
        embeddings_(embeddings),
        columns_(columns),
        kernels_(kernels),
        buffers_(buffers) {}

  void feature(int32_t f) {
    flush();
    feature_ = f;
  }

  void begin(const PlannedView& planned, int64_t row, int32_t f) {
    if (bag_count_ == kBagCapacity) flush();
    bag_ = &buffers_.bags[bag_count_++];
    *bag_ = Bag{planned.view->vectors + row * planned.view->ld + columns_[f], 0, 1.0f, 1, 0};
    total_ = 0;
  }

  void ids(const int32_t* ids, int64_t count, int64_t readable) {
    total_ += count;
    if (count <= kShort && readable >= kShort && used_ + kShort <= kIdCapacity) {
      // A copy of fixed size: no loop whose end would be mispredicted.
      std::memcpy(buffers_.ids + used_, ids, kShort * sizeof(int32_t));
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
    bag_->scale = pooling_scale(table_.features[feature_].pooling, total_);
    bag_->last = 1;
  }

  void chunk_end() { flush(); }

 private:
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
    kernels_.pool(PoolJob{embedding.weights, embedding.dim, embedding.dtype, buffers_.ids,
                          buffers_.bags, bag_count_});
    used_ = 0;
    bag_count_ = 0;
  }

  const Table& table_;
  const tt_embedding* embeddings_;
  const int64_t* columns_;
  const GatherKernels& kernels_;
  Buffers& buffers_;
  Bag* bag_ = nullptr;
  int32_t feature_ = 0;
  int32_t used_ = 0;
  int64_t bag_count_ = 0;
  int64_t total_ = 0;
};

struct Worker {
  WalkScratch* walk;
  PoolSink::Buffers* buffers;
};

}  // namespace

void embedding_gather(Context& context, const Table* table, const tt_embedding* embeddings,
                      int32_t /*embedding_count*/, const tt_gather_view* views,
                      int32_t view_count) {
  ArenaScope scope(context.arena);
  const GroupedViews grouped = GroupedViews::make(scope, *table, views, view_count, kBlockRows);
  int64_t columns[TT_MAX_FEATURES];
  feature_columns(*table, embeddings, columns);
  auto* workers = scope.get<Worker>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w) {
    workers[w] = Worker{WalkScratch::get(context, scope, *table), scope.get<PoolSink::Buffers>(1)};
  }
  const GatherKernels& kernels = TT_SELECT(context.isa, kGather);

  context.pool.run(grouped.blocks(), [&](int64_t index, int w) {
    const GroupedViews::Block block = grouped.block(index);
    check_rows(*table, *block.group, block.begin, block.end);
    PoolSink sink(*table, embeddings, columns, kernels, *workers[w].buffers);
    Walk<PoolSink>(*table, all_features(*table), *block.group, *workers[w].walk, sink)
        .rows(block.begin, block.end);
  });
}

}  // namespace tt::cpu
