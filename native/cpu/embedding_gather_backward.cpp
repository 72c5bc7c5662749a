// tt_embedding_gather_backward and tt_embedding_gather_update: the walk of the
// forward is repeated, its lookups are sorted by embedding id, and each id's
// gradients are summed once.
#include <algorithm>
#include <cstring>

#include "lookup_sort.h"
#include "lookups.h"
#include "merge.h"

namespace tt::cpu {
namespace {

constexpr int64_t kMostBlocks = 64;

/// Rows of a block: few blocks, so that counting their partitions costs little,
/// but whole chunks. It depends on the sizes of the views alone.
int64_t rows_per_block(const tt_gather_view* views, int32_t view_count) {
  int64_t rows = 0;
  for (int32_t v = 0; v < view_count; ++v) rows += views[v].n;
  const int64_t chunks = (rows + kChunkRows - 1) / kChunkRows;
  return std::max<int64_t>(1, (chunks + kMostBlocks - 1) / kMostBlocks) * kChunkRows;
}

/// The embedding tables of a call: which features read them, and where their
/// gradients lie.
class GradientLayout {
 public:
  GradientLayout(ArenaScope& scope, const Table& table, const tt_embedding* embeddings,
                 int32_t embedding_count, const tt_gather_view* views, int32_t view_count)
      : tables_(embedding_count) {
    id_bounds_ = scope.get<int64_t>(static_cast<size_t>(tables_));
    rows_ = scope.get<GradientRows>(static_cast<size_t>(tables_));
    scales_ = scope.get<float*>(static_cast<size_t>(tables_));
    first_row_ = scope.get<int64_t>(static_cast<size_t>(view_count));
    auto* pieces = scope.get<GradientPiece>(static_cast<size_t>(view_count));
    int64_t total_rows = 0;
    for (int32_t v = 0; v < view_count; ++v) {
      first_row_[v] = total_rows;
      pieces[v] = GradientPiece{views[v].vectors, views[v].ld, total_rows, total_rows + views[v].n};
      total_rows += views[v].n;
    }
    int64_t columns[TT_MAX_FEATURES];
    feature_columns(table, embeddings, columns);
    for (int32_t t = 0; t < tables_; ++t) {
      add_table(scope, table, t, columns, total_rows);
      rows_[t].pieces = pieces;
      rows_[t].piece_count = view_count;
    }
  }

  int32_t tables() const { return tables_; }
  const int64_t* id_bounds() const { return id_bounds_; }
  const GradientRows& rows(int32_t table) const { return rows_[table]; }

  uint32_t bag(int32_t view, int64_t row, int32_t table, int32_t f) const {
    return static_cast<uint32_t>(((first_row_[view] + row) << rows_[table].slot_bits) + slot_[f]);
  }
  float* scales(int32_t table) const { return scales_[table]; }

 private:
  void add_table(ArenaScope& scope, const Table& table, int32_t t, const int64_t* columns,
                 int64_t total_rows) {
    int32_t slots = 0;
    bool scaled = false;
    id_bounds_[t] = 1;
    for (int32_t f = 0; f < table.feature_count; ++f) {
      const tt_feature& feature = table.features[f];
      if (feature.embedding != t) continue;
      slot_[f] = slots++;
      id_bounds_[t] = std::max<int64_t>(id_bounds_[t], feature.vocabulary);
      scaled |= feature.pooling != TT_POOL_SUM &&
                (feature.offsets != nullptr || feature.through_list != 0);
    }
    GradientRows& rows = rows_[t];
    rows.slot_bits = 0;
    while ((1 << rows.slot_bits) < slots) ++rows.slot_bits;
    if (total_rows << rows.slot_bits > int64_t{1} << 32) {
      unsupported(
          format("%lld rows with %d features of one embedding table are more than one "
                 "backward pass can address.",
                 (long long)total_rows, slots));
    }
    auto* slot_columns = scope.get<int64_t>(size_t{1} << rows.slot_bits);
    for (int32_t f = 0; f < table.feature_count; ++f) {
      if (table.features[f].embedding == t) slot_columns[slot_[f]] = columns[f];
    }
    rows.columns = slot_columns;
    scales_[t] =
        scaled ? scope.get<float>(static_cast<size_t>(total_rows) << rows.slot_bits) : nullptr;
    rows.scales = scales_[t];
  }

  int32_t tables_;
  int64_t* id_bounds_;
  GradientRows* rows_;
  float** scales_;
  int64_t* first_row_;  // global row of each view's first
  int64_t slot_[TT_MAX_FEATURES] = {};
};

/// Room for the lookups of a block: every bag's values, or the one default.
void count_lookups(const Table& table, const GroupedViews::Block& block, LookupSort& sort,
                   int64_t index) {
  const TableFacts& facts = facts_of(table);
  const int64_t* lists = table.list_offsets;
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    int64_t total = 0;
    for (int64_t i = block.begin; i < block.end; ++i) {
      const int32_t row = block.group->rows[i];
      int64_t count = 0;
      if (feature.through_list == 0) {
        count = facts.direct.values(f, row).count;
      } else {
        for (int64_t k = lists[row]; k < lists[row + 1]; ++k) {
          count += facts.listed.values(f, table.list_rows[k]).count;
        }
      }
      total += std::max<int64_t>(count, 1);
    }
    sort.capacity(index, feature.embedding) += total * block.group->count;
  }
}

class LookupSink {
 public:
  LookupSink(const Table& table, const GradientLayout& layout, LookupSort::Writer writer)
      : table_(table), layout_(layout), writer_(writer) {}

  void feature(int32_t f) {
    embedding_ = table_.features[f].embedding;
    pooling_ = table_.features[f].pooling;
    scales_ = layout_.scales(embedding_);
  }
  void begin(const PlannedView& planned, int64_t row, int32_t f) {
    bag_ = layout_.bag(planned.index, row, embedding_, f);
    total_ = 0;
  }
  void ids(const int32_t* ids, int64_t count, int64_t /*readable*/) {
    total_ += count;
    for (int64_t i = 0; i < count; ++i) writer_.put(embedding_, ids[i], bag_);
  }
  void end() {
    if (scales_ != nullptr) scales_[bag_] = pooling_scale(pooling_, total_);
  }
  void chunk_end() {}

 private:
  const Table& table_;
  const GradientLayout& layout_;
  LookupSort::Writer writer_;
  int32_t embedding_ = 0;
  int32_t pooling_ = TT_POOL_SUM;
  float* scales_ = nullptr;
  uint32_t bag_ = 0;
  int64_t total_ = 0;
};

void sort_lookups(Context& context, ArenaScope& scope, const Table& table,
                  const GroupedViews& grouped, const GradientLayout& layout, LookupSort& sort) {
  context.pool.run(grouped.blocks(), [&](int64_t index, int) {
    const GroupedViews::Block block = grouped.block(index);
    check_rows(table, *block.group, block.begin, block.end);
    count_lookups(table, block, sort, index);
  });
  sort.allocate();
  auto* scratch = scope.get<WalkScratch*>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w)
    scratch[w] = WalkScratch::get(context, scope, table);
  context.pool.run(grouped.blocks(), [&](int64_t index, int w) {
    const GroupedViews::Block block = grouped.block(index);
    LookupSink sink(table, layout, sort.writer(index));
    Walk<LookupSink>(table, all_features(table), *block.group, *scratch[w], sink)
        .rows(block.begin, block.end);
  });
  sort.sort();
}

/// Sets up each table's target through make_target(table, distinct ids) and
/// merges.
template <class MakeTarget>
void backward(Context& context, const Table& table, const tt_embedding* embeddings,
              int32_t embedding_count, const tt_gather_view* views, int32_t view_count,
              MakeTarget&& make_target) {
  ArenaScope scope(context.arena);
  const GroupedViews grouped =
      GroupedViews::make(scope, table, views, view_count, rows_per_block(views, view_count));
  const GradientLayout layout(scope, table, embeddings, embedding_count, views, view_count);
  LookupSort sort(context, scope, layout.tables(), layout.id_bounds(), grouped.blocks());
  sort_lookups(context, scope, table, grouped, layout, sort);
  Merge merge(context, scope, sort, layout.tables());
  auto* jobs = scope.get<MergeJob>(static_cast<size_t>(embedding_count));
  for (int32_t t = 0; t < embedding_count; ++t) {
    jobs[t] = MergeJob{layout.rows(t), embeddings[t].dim, make_target(t, merge.runs(t))};
  }
  merge.finish(jobs);
}

}  // namespace

void embedding_gather_backward(Context& context, const Table* table, const tt_embedding* embeddings,
                               int32_t embedding_count, const tt_gather_view* views,
                               int32_t view_count, const tt_sparse_gradient* gradients) {
  const auto target = [&](int32_t t, int64_t runs) {
    const tt_sparse_gradient& gradient = gradients[t];
    if (runs > gradient.capacity) {
      bad_argument(format("gradients[%d].capacity", t),
                   format("at least %lld, the rows touched", (long long)runs), gradient.capacity);
    }
    *gradient.count = runs;
    MergeTarget written{};
    written.ids = gradient.ids;
    written.values = gradient.values;
    return written;
  };
  backward(context, *table, embeddings, embedding_count, views, view_count, target);
}

void embedding_gather_update(Context& context, const tt_optimizer* optimizer, const Table* table,
                             const tt_embedding* embeddings, int32_t embedding_count,
                             const tt_gather_view* views, int32_t view_count) {
  const OptimizerPlan plan = make_plan(*optimizer);
  const auto target = [&](int32_t t, int64_t) {
    const tt_embedding& e = embeddings[t];
    return MergeTarget{nullptr, nullptr, plan, e.weights, e.state1, e.state2, e.dtype};
  };
  backward(context, *table, embeddings, embedding_count, views, view_count, target);
}

}  // namespace tt::cpu
