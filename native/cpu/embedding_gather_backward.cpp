// tt_embedding_gather_backward and tt_embedding_gather_update: the walk of the
// forward is repeated, its lookups are sorted by embedding id, and each id's
// gradients are summed once.
#include <algorithm>
#include <cstring>

#include "lookup_sort.h"
#include "lookups.h"
#include "merge.h"
#include "shared_lists.h"

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

/// What the lists of a group share: its slots are rows behind those of the views.
struct SharedGroup {
  const SharedLists* lists;  // NULL: nothing
  const float* gradients;    // [slot_count, width]
};

/// The embedding tables of a call: which features read them, and where their
/// gradients lie.
class GradientLayout {
 public:
  GradientLayout(ArenaScope& scope, const Table& table, const tt_embedding* embeddings,
                 int32_t embedding_count, const tt_gather_view* views, int32_t view_count,
                 const SharedGroup* shared, int32_t group_count)
      : tables_(embedding_count) {
    id_bounds_ = scope.get<int64_t>(static_cast<size_t>(tables_));
    rows_ = scope.get<GradientRows>(static_cast<size_t>(tables_));
    scales_ = scope.get<float*>(static_cast<size_t>(tables_));
    const int32_t pieces = view_count + group_count;
    first_row_ = scope.get<int64_t>(static_cast<size_t>(pieces));
    pieces_ = scope.get<GradientPiece>(static_cast<size_t>(pieces));
    int64_t columns[TT_MAX_FEATURES];
    const int64_t width = feature_columns(table, embeddings, columns);
    for (int32_t v = 0; v < view_count; ++v) add_piece(views[v].vectors, views[v].ld, views[v].n);
    for (int32_t g = 0; g < group_count; ++g) {
      const SharedLists* lists = shared[g].lists;
      add_piece(shared[g].gradients, width, lists != nullptr ? lists->slot_count : 0);
    }
    for (int32_t t = 0; t < tables_; ++t) {
      add_table(scope, table, t, columns, total_rows_);
      rows_[t].pieces = pieces_;
      rows_[t].second_begin = pieces_[0].end;
    }
  }

  int32_t tables() const { return tables_; }
  const int64_t* id_bounds() const { return id_bounds_; }
  const GradientRows& rows(int32_t table) const { return rows_[table]; }

  /// piece: a view, or behind all views a group's slots.
  uint32_t bag(int32_t piece, int64_t row, int32_t table, int32_t f) const {
    return static_cast<uint32_t>(((first_row_[piece] + row) << rows_[table].slot_bits) + slot_[f]);
  }
  float* scales(int32_t table) const { return scales_[table]; }

 private:
  void add_piece(const float* gradients, int64_t ld, int64_t rows) {
    first_row_[piece_count_] = total_rows_;
    pieces_[piece_count_++] = GradientPiece{gradients, ld, total_rows_, total_rows_ + rows};
    total_rows_ += rows;
  }
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
  int64_t* first_row_;  // global row of each piece's first
  GradientPiece* pieces_;
  int32_t piece_count_ = 0;
  int64_t total_rows_ = 0;
  int64_t slot_[TT_MAX_FEATURES] = {};
};

/// Room for the lookups of a block: every bag's values, or the one default.
void count_lookups(const Table& table, const GroupedViews::Block& block, uint64_t shared,
                   LookupSort& sort, int64_t index) {
  const TableFacts& facts = facts_of(table);
  const int64_t* lists = table.list_offsets;
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    int64_t total = 0;
    for (int64_t i = block.begin; i < block.end; ++i) {
      const int32_t row = block.group->rows[i];
      int64_t count = 0;
      if ((shared >> f & 1) != 0) {
        count = 1;
      } else if (feature.through_list == 0) {
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

  /// A whole bag whose gradient needs no scale.
  void bag(int32_t piece, int64_t row, int32_t f, const int32_t* ids, int64_t count) {
    const uint32_t bag = layout_.bag(piece, row, embedding_, f);
    for (int64_t i = 0; i < count; ++i) writer_.put(embedding_, ids[i], bag);
    if (scales_ != nullptr) scales_[bag] = 1.0f;
  }

  void feature(int32_t f) {
    embedding_ = table_.features[f].embedding;
    pooling_ = table_.features[f].pooling;
    scales_ = layout_.scales(embedding_);
    for (int64_t n = 1; n <= kReadable; ++n) short_scales_[n] = pooling_scale(pooling_, n);
  }
  void short_bag(const PlannedView& planned, int64_t row, int32_t f, const int32_t* ids,
                 int64_t count) {
    static_assert(LookupSort::kSlack == kReadable);
    const uint32_t bag = layout_.bag(planned.index, row, embedding_, f);
    writer_.put_short(embedding_, ids, count, bag);
    if (scales_ != nullptr) scales_[bag] = short_scales_[count];
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
  void strip_end() {}

 private:
  const Table& table_;
  const GradientLayout& layout_;
  LookupSort::Writer writer_;
  int32_t embedding_ = 0;
  int32_t pooling_ = TT_POOL_SUM;
  float* scales_ = nullptr;
  float short_scales_[kReadable + 1] = {};
  uint32_t bag_ = 0;
  int64_t total_ = 0;
};

/// The lookups behind a group's slots, and the defaults of its rows.
class SharedLookups {
 public:
  SharedLookups(const Table& table, const SharedLists& lists, int32_t piece)
      : table_(table), lists_(lists), piece_(piece) {}

  static int64_t blocks(const SharedGroup& group) {
    return group.lists != nullptr ? (group.lists->slot_count + kSlots - 1) / kSlots : 0;
  }

  void count(int64_t block, LookupSort& sort, int64_t index) const {
    for_each_feature(lists_.features, [&](int32_t f) {
      int64_t& capacity = sort.capacity(index, table_.features[f].embedding);
      for (int64_t s = block * kSlots; s < end(block); ++s) capacity += values(f, s).count;
    });
  }

  void write(int64_t block, LookupSink& sink) const {
    for_each_feature(lists_.features, [&](int32_t f) {
      sink.feature(f);
      for (int64_t s = block * kSlots; s < end(block); ++s) {
        const PackedRows::Values found = values(f, s);
        sink.bag(piece_, s, f, found.ids, found.count);
      }
    });
  }

  void write_defaults(int64_t begin, int64_t end, LookupSink& sink) const {
    for_each_feature(lists_.features, [&](int32_t f) {
      sink.feature(f);
      for (int64_t i = begin; i < end; ++i) {
        if (lists_.scales[i * lists_.scale_ld + f] != 0.0f) continue;
        sink.bag(lists_.planned.index, i, f, kDefaultIds, 1);
      }
    });
  }

 private:
  static constexpr int64_t kSlots = 1024;
  int64_t end(int64_t block) const { return std::min(lists_.slot_count, (block + 1) * kSlots); }
  PackedRows::Values values(int32_t f, int64_t slot) const {
    return facts_of(table_).listed.values(f, lists_.slot_rows[slot]);
  }

  const Table& table_;
  const SharedLists& lists_;
  int32_t piece_;
};

/// The lists that each group shares, and the gradients of their slots. shared [group_count].
SharedGroup* share_groups(Context& context, ArenaScope& scope, const Table& table,
                          const tt_embedding* embeddings, const GroupedViews& grouped) {
  auto* shared = scope.get<SharedGroup>(static_cast<size_t>(grouped.group_count));
  int64_t columns[TT_MAX_FEATURES];
  const int64_t width = feature_columns(table, embeddings, columns);
  const GatherKernels& kernels = TT_SELECT(context.isa, kGather);
  for (int32_t g = 0; g < grouped.group_count; ++g) {
    shared[g] = SharedGroup{share_lists(context, scope, table, grouped.groups[g]), nullptr};
    if (shared[g].lists == nullptr) continue;
    shared[g].gradients = slot_gradients(context, scope, table, embeddings, columns, width, kernels,
                                         *shared[g].lists);
  }
  return shared;
}

/// The blocks of the views' rows, then those of each group's slots.
struct SortBlocks {
  const GroupedViews& grouped;
  const SharedGroup* shared;
  int32_t view_count;

  int64_t count() const {
    int64_t total = grouped.blocks();
    for (int32_t g = 0; g < grouped.group_count; ++g) total += SharedLookups::blocks(shared[g]);
    return total;
  }
  /// Calls use(lookups, block) for a block behind those of the rows.
  template <class Use>
  void slots(const Table& table, int64_t index, Use use) const {
    index -= grouped.blocks();
    int32_t g = 0;
    while (index >= SharedLookups::blocks(shared[g])) index -= SharedLookups::blocks(shared[g++]);
    use(SharedLookups(table, *shared[g].lists, view_count + g), index);
  }
};

void sort_lookups(Context& context, ArenaScope& scope, const Table& table, const SortBlocks& blocks,
                  const GradientLayout& layout, LookupSort& sort) {
  const GroupedViews& grouped = blocks.grouped;
  const auto lists_of = [&](const GroupedViews::Block& block) {
    return blocks.shared[block.group - grouped.groups].lists;
  };
  context.pool.run(blocks.count(), [&](int64_t index, int) {
    if (index >= grouped.blocks()) {
      blocks.slots(table, index, [&](const SharedLookups& lookups, int64_t block) {
        lookups.count(block, sort, index);
      });
      return;
    }
    const GroupedViews::Block block = grouped.block(index);
    check_rows(table, *block.group, block.begin, block.end);
    const SharedLists* lists = lists_of(block);
    count_lookups(table, block, lists != nullptr ? lists->features : 0, sort, index);
  });
  sort.allocate();
  auto* scratch = scope.get<WalkScratch*>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w)
    scratch[w] = WalkScratch::get(context, scope, table);
  const auto write_block = [&](int64_t index, WalkScratch* walk, LookupSink& sink) {
    if (index >= grouped.blocks()) {
      blocks.slots(table, index, [&](const SharedLookups& lookups, int64_t block) {
        lookups.write(block, sink);
      });
      return;
    }
    const GroupedViews::Block block = grouped.block(index);
    uint64_t walked = all_features(table);
    if (const SharedLists* lists = lists_of(block)) {
      walked &= ~lists->features;
      SharedLookups(table, *lists, 0).write_defaults(block.begin, block.end, sink);
    }
    if (walked == 0) return;
    Walk<LookupSink>(table, walked, *block.group, *walk, sink).rows(block.begin, block.end);
  };
  context.pool.run(blocks.count(), [&](int64_t index, int w) {
    LookupSink sink(table, layout, sort.writer(index));
    write_block(index, scratch[w], sink);
    sort.written(index);
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
  const SharedGroup* shared = share_groups(context, scope, table, embeddings, grouped);
  const SortBlocks blocks{grouped, shared, view_count};
  const GradientLayout layout(scope, table, embeddings, embedding_count, views, view_count, shared,
                              grouped.group_count);
  LookupSort sort(context, scope, layout.tables(), layout.id_bounds(), blocks.count());
  sort_lookups(context, scope, table, blocks, layout, sort);
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
