// Going over the rows of a gather: which embedding ids each view reads for each row and feature.
//
// Forward, backward and previews share this walk and differ in the sink that takes its ids. All
// augmentation is decided here, from counters (augmentation.h), in blocks of rows so that the decisions
// of a row's list serve all its features and the table's memory is asked for ahead of its use.
#ifndef TWINTAIL_CPU_LOOKUPS_H
#define TWINTAIL_CPU_LOOKUPS_H

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "augmentation.h"
#include "context.h"
#include "feature_table.h"

namespace tt::cpu {

constexpr int kChunkRows = 64;
constexpr int kMostGroupViews = 4;
constexpr int64_t kListCapacity = 4096;

struct PlannedView {
  const tt_gather_view* view;
  int32_t index;  // in the caller's array, for errors and sinks
  AugmentationPlan plan;
};

/// Views that follow each other and read the same rows.
struct ViewGroup {
  PlannedView views[kMostGroupViews];
  int32_t count;
  const int32_t* rows;
  int64_t n;
};

/// Throws TT_BAD_ARGUMENT for a row in [begin, end) of the group that the table lacks.
inline void check_rows(const Table& table, const ViewGroup& group, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (group.rows[i] >= 0 && group.rows[i] < table.rows) continue;
    bad_argument(format("views[%d].rows[%lld]", group.views[0].index, (long long)i),
                 format("a row in [0, %lld)", (long long)table.rows), int64_t{group.rows[i]});
  }
  for (int v = 0; v < group.count; ++v) {
    const int32_t* left_out = group.views[v].view->left_out;
    if (left_out == nullptr) continue;
    for (int64_t i = begin; i < end; ++i) {
      if (left_out[i] >= -1 && left_out[i] < table.catalogue_rows) continue;
      bad_argument(format("views[%d].left_out[%lld]", group.views[v].index, (long long)i),
                   format("-1 or a row in [0, %lld)", (long long)table.catalogue_rows),
                   int64_t{left_out[i]});
    }
  }
}

/// Cuts the views into groups; at most view_count of them, `groups` has room for that. Returns how many.
inline int32_t group_views(const tt_gather_view* views, int32_t view_count, int32_t feature_count,
                           ViewGroup* groups) {
  int32_t group_count = 0;
  for (int32_t v = 0; v < view_count; ++v) {
    ViewGroup* last = group_count > 0 ? &groups[group_count - 1] : nullptr;
    if (last == nullptr || last->count == kMostGroupViews || last->rows != views[v].rows ||
        last->n != views[v].n) {
      last = &groups[group_count++];
      last->count = 0;
      last->rows = views[v].rows;
      last->n = views[v].n;
    }
    last->views[last->count++] =
        PlannedView{&views[v], v, make_plan(views[v].augmentation, views[v].view, feature_count)};
  }
  return group_count;
}

/// The views of a call in groups, cut into blocks of rows for the pool.
struct GroupedViews {
  ViewGroup* groups;
  int32_t group_count;
  int64_t block_rows;
  int64_t* first_block;  // [group_count + 1], of each group

  struct Block {
    const ViewGroup* group;
    int64_t begin, end;  // rows
  };

  static GroupedViews make(ArenaScope& scope, const Table& table, const tt_gather_view* views,
                           int32_t view_count, int64_t block_rows) {
    GroupedViews all;
    all.groups = scope.get<ViewGroup>(static_cast<size_t>(view_count));
    all.group_count = group_views(views, view_count, table.feature_count, all.groups);
    all.block_rows = block_rows;
    all.first_block = scope.get<int64_t>(static_cast<size_t>(all.group_count) + 1);
    all.first_block[0] = 0;
    for (int32_t g = 0; g < all.group_count; ++g) {
      all.first_block[g + 1] = all.first_block[g] + (all.groups[g].n + block_rows - 1) / block_rows;
    }
    return all;
  }

  int64_t blocks() const { return first_block[group_count]; }

  Block block(int64_t index) const {
    int32_t g = 0;
    while (index >= first_block[g + 1]) ++g;
    const int64_t begin = (index - first_block[g]) * block_rows;
    return Block{&groups[g], begin, std::min(groups[g].n, begin + block_rows)};
  }
};

inline uint64_t all_features(const Table& table) {
  return ~uint64_t{0} >> (TT_MAX_FEATURES - table.feature_count);
}

/// The column of each feature's vector in a row of a view; returns the width of all.
inline int64_t feature_columns(const Table& table, const tt_embedding* embeddings,
                               int64_t* columns) {
  int64_t width = 0;
  for (int32_t f = 0; f < table.feature_count; ++f) {
    columns[f] = width;
    width += embeddings[table.features[f].embedding].dim;
  }
  return width;
}

/// What a sum of `count` values is multiplied with.
inline float pooling_scale(int32_t pooling, int64_t count) {
  if (count == 1 || pooling == TT_POOL_SUM) return 1.0f;
  const double n = static_cast<double>(count);
  return static_cast<float>(pooling == TT_POOL_MEAN ? 1.0 / n : 1.0 / std::sqrt(n));
}

/// The part of each row's list that one view keeps.
struct KeptList {
  const int32_t* rows;       // catalogue rows
  const int32_t* positions;  // their positions in the whole list; NULL where none was removed
  int64_t count;
};

/// Temporary memory of one worker.
struct WalkScratch {
  uint64_t masks[kMostGroupViews][kChunkRows];
  KeptList kept[kMostGroupViews][kChunkRows];
  int32_t* kept_rows[kMostGroupViews];  // [list_capacity]
  int32_t* kept_positions[kMostGroupViews];
  int64_t list_capacity;

  static WalkScratch* get(ArenaScope& scope, const Table& table) {
    auto* scratch = scope.get<WalkScratch>(1);
    scratch->list_capacity =
        table.list_offsets == nullptr ? 0 : std::max(kListCapacity, facts_of(table).longest_list);
    for (int v = 0; v < kMostGroupViews; ++v) {
      scratch->kept_rows[v] = scope.get<int32_t>(static_cast<size_t>(scratch->list_capacity));
      scratch->kept_positions[v] = scope.get<int32_t>(static_cast<size_t>(scratch->list_capacity));
    }
    return scratch;
  }
};

/// A sink has:
///   void feature(int32_t f);                                  before the bags of feature f in a chunk
///   void begin(const PlannedView&, int64_t row, int32_t f);   row: in the view
///   void ids(const int32_t* ids, int64_t count);              any number of times
///   void end();                                               the bag is complete and not empty
///   void chunk_end();
template <class Sink>
class Walk {
 public:
  Walk(const Table& table, uint64_t features, const ViewGroup& group, WalkScratch& scratch,
       Sink& sink)
      : table_(table), features_(features), group_(group), scratch_(scratch), sink_(sink) {}

  /// The rows [begin, end) of the group, which were checked.
  void rows(int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t chunk_end = end_of_chunk(begin, end);
      chunk(begin, static_cast<int>(chunk_end - begin));
      begin = chunk_end;
    }
  }

 private:
  int64_t end_of_chunk(int64_t begin, int64_t end) const;
  void chunk(int64_t begin, int rows);
  void decide_masks(int64_t begin, int rows);
  void decide_lists(int64_t begin, int rows);
  KeptList keep(const PlannedView& planned, int64_t row, int32_t* kept, int32_t* positions) const;
  void prefetch_rows(const tt_feature& feature, int64_t begin, int rows) const;
  void direct(const PlannedView& planned, int32_t f, int64_t row);
  void through_list(const PlannedView& planned, int32_t f, int64_t row, const KeptList& kept);
  int64_t dropping(const PlannedView& planned, int32_t f, int64_t row, const int32_t* ids,
                   int64_t count, int64_t position);
  uint32_t counter_row(const PlannedView& planned, int64_t row) const {
    return static_cast<uint32_t>(planned.view->row_base + row);
  }

  const Table& table_;
  uint64_t features_;  // bit f: feature f is walked
  const ViewGroup& group_;
  WalkScratch& scratch_;
  Sink& sink_;
};

constexpr int32_t kDefaultId = 0;

/// As many rows as a chunk holds and as their lists leave room for. A single list always fits.
template <class Sink>
int64_t Walk<Sink>::end_of_chunk(int64_t begin, int64_t end) const {
  end = std::min(end, begin + kChunkRows);
  if (table_.list_offsets == nullptr) return end;
  int64_t total = 0;
  for (int64_t i = begin; i < end; ++i) {
    const int64_t* offset = table_.list_offsets + group_.rows[i];
    total += offset[1] - offset[0];
    if (total > scratch_.list_capacity) return std::max(i, begin + 1);
  }
  return end;
}

template <class Sink>
void Walk<Sink>::chunk(int64_t begin, int rows) {
  decide_masks(begin, rows);
  if ((features_ & facts_of(table_).through_list) != 0) decide_lists(begin, rows);
  for (uint64_t rest = features_; rest != 0; rest &= rest - 1) {
    const int32_t f = lowest_bit(rest);
    const tt_feature& feature = table_.features[f];
    if (feature.through_list == 0) prefetch_rows(feature, begin, rows);
    sink_.feature(f);
    for (int r = 0; r < rows; ++r) {
      for (int v = 0; v < group_.count; ++v) {
        const PlannedView& planned = group_.views[v];
        sink_.begin(planned, begin + r, f);
        if ((scratch_.masks[v][r] >> f & 1) != 0) {
          sink_.ids(&kDefaultId, 1);
        } else if (feature.through_list != 0) {
          through_list(planned, f, begin + r, scratch_.kept[v][r]);
        } else {
          direct(planned, f, begin + r);
        }
        sink_.end();
      }
    }
  }
  sink_.chunk_end();
}

template <class Sink>
void Walk<Sink>::decide_masks(int64_t begin, int rows) {
  for (int v = 0; v < group_.count; ++v) {
    const PlannedView& planned = group_.views[v];
    uint64_t* masks = scratch_.masks[v];
    if ((planned.plan.transforms & kWholeFeatureTransforms) == 0) {
      std::fill(masks, masks + rows, 0);
    } else if (planned.plan.per_batch != 0) {
      std::fill(masks, masks + rows, feature_mask(planned.plan, 0));
    } else {
      for (int r = 0; r < rows; ++r) {
        masks[r] = feature_mask(planned.plan, counter_row(planned, begin + r));
      }
    }
  }
}

template <class Sink>
void Walk<Sink>::decide_lists(int64_t begin, int rows) {
  for (int v = 0; v < group_.count; ++v) {
    int64_t used = 0;
    for (int r = 0; r < rows; ++r) {
      KeptList& kept = scratch_.kept[v][r];
      kept = keep(group_.views[v], begin + r, scratch_.kept_rows[v] + used,
                  scratch_.kept_positions[v] + used);
      if (kept.positions != nullptr) used += kept.count;
    }
  }
}

template <class Sink>
KeptList Walk<Sink>::keep(const PlannedView& planned, int64_t row, int32_t* kept,
                          int32_t* positions) const {
  const int64_t* offset = table_.list_offsets + group_.rows[row];
  const int32_t* list = table_.list_rows + offset[0];
  const int64_t length = offset[1] - offset[0];
  const bool drops = (planned.plan.transforms & TT_LIST_DROPOUT) != 0;
  const int32_t left_out = planned.view->left_out != nullptr ? planned.view->left_out[row] : -1;
  if (!drops && left_out < 0) return KeptList{list, nullptr, length};

  int64_t count = 0;
  uint32_t dropped = 0;
  for (int64_t p = 0; p < length; ++p) {
    if (drops && p % 4 == 0) {
      dropped =
          dropped_list_rows(planned.plan, counter_row(planned, row), static_cast<uint32_t>(p / 4));
    }
    kept[count] = list[p];
    positions[count] = static_cast<int32_t>(p);
    count += list[p] != left_out && (dropped >> (p % 4) & 1) == 0 ? 1 : 0;
  }
  return KeptList{kept, positions, count};
}

/// Where a feature's values lie is known only from its offsets, both far apart in memory: ask for all
/// offsets of the chunk, then for all values.
template <class Sink>
void Walk<Sink>::prefetch_rows(const tt_feature& feature, int64_t begin, int rows) const {
  const int32_t* row = group_.rows + begin;
  if (feature.offsets == nullptr) {
    for (int r = 0; r < rows; ++r) __builtin_prefetch(feature.values + row[r]);
    return;
  }
  for (int r = 0; r < rows; ++r) __builtin_prefetch(feature.offsets + row[r]);
  for (int r = 0; r < rows; ++r) __builtin_prefetch(feature.values + feature.offsets[row[r]]);
}

template <class Sink>
void Walk<Sink>::direct(const PlannedView& planned, int32_t f, int64_t row) {
  const tt_feature& feature = table_.features[f];
  const int32_t table_row = group_.rows[row];
  if (feature.offsets == nullptr) {
    sink_.ids(feature.values + table_row, 1);
    return;
  }
  const int64_t begin = feature.offsets[table_row];
  int64_t count = feature.offsets[table_row + 1] - begin;
  if (drops_values(planned.plan, f, true)) {
    count = dropping(planned, f, row, feature.values + begin, count, 0);
  } else if (count > 0) {
    sink_.ids(feature.values + begin, count);
  }
  if (count == 0) sink_.ids(&kDefaultId, 1);
}

template <class Sink>
void Walk<Sink>::through_list(const PlannedView& planned, int32_t f, int64_t row,
                              const KeptList& kept) {
  const tt_feature& feature = table_.features[f];
  int64_t total = 0;
  const auto values_of = [&](int32_t catalogue_row, const int32_t*& ids) {
    const int64_t begin =
        feature.offsets != nullptr ? feature.offsets[catalogue_row] : catalogue_row;
    ids = feature.values + begin;
    return feature.offsets != nullptr ? feature.offsets[catalogue_row + 1] - begin : 1;
  };
  const int32_t* ids = nullptr;
  if (!drops_values(planned.plan, f, true)) {
    for (int64_t k = 0; k < kept.count; ++k) {
      const int64_t count = values_of(kept.rows[k], ids);
      if (count > 0) sink_.ids(ids, count);
      total += count;
    }
  } else {
    // Positions of values go on through removed rows too.
    const int64_t* offset = table_.list_offsets + group_.rows[row];
    const int32_t* list = table_.list_rows + offset[0];
    int64_t position = 0;
    int64_t k = 0;
    for (int64_t p = 0; k < kept.count; ++p) {
      const int64_t count = values_of(list[p], ids);
      if (kept.positions == nullptr || kept.positions[k] == p) {
        total += dropping(planned, f, row, ids, count, position);
        ++k;
      }
      position += count;
    }
  }
  if (total == 0) sink_.ids(&kDefaultId, 1);
}

/// Hands over the values that value dropout keeps, and returns how many. position: of ids[0].
template <class Sink>
int64_t Walk<Sink>::dropping(const PlannedView& planned, int32_t f, int64_t row, const int32_t* ids,
                             int64_t count, int64_t position) {
  int64_t kept = 0;
  uint32_t dropped = 0;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t p = position + i;
    if (i == 0 || p % 4 == 0) {
      dropped =
          dropped_values(planned.plan, counter_row(planned, row), f, static_cast<uint32_t>(p / 4));
    }
    if ((dropped >> (p % 4) & 1) != 0) continue;
    sink_.ids(ids + i, 1);
    ++kept;
  }
  return kept;
}

}  // namespace tt::cpu
#endif
