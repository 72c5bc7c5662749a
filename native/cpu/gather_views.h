// The views of a gather: which of them read the same rows, and the blocks of rows that the pool runs.
#ifndef TWINTAIL_CPU_GATHER_VIEWS_H
#define TWINTAIL_CPU_GATHER_VIEWS_H

#include <algorithm>
#include <cstdint>

#include "augmentation.h"
#include "context.h"

namespace tt::cpu {

constexpr int kMostGroupViews = 4;

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

/// Throws TT_BAD_ARGUMENT for a row in [begin, end) of the group that the table
/// lacks.
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

/// Cuts the views into groups; at most view_count of them, `groups` has room
/// for that. Returns how many.
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

}  // namespace tt::cpu
#endif
