#include "shared_lists.h"

#include <algorithm>

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 2 * kChunkRows;
constexpr int64_t kLeastUses = 2;  // of a slot in the mean, so that sharing pays

int64_t blocks_of(int64_t count) {
  return (count + kBlockRows - 1) / kBlockRows;
}

/// Takes what Walk::lists decides.
struct ListSink {
  int32_t* kept;         // catalogue rows, from first[row] on
  const int64_t* first;  // [rows]
  int64_t* counts;       // [rows]
  uint64_t* masks;       // [rows]
  uint8_t* named;        // [catalogue rows]; all threads write the same 1

  void list(int64_t row, const KeptList& list, uint64_t mask) {
    std::copy_n(list.rows, list.count, kept + first[row]);
    counts[row] = list.count;
    masks[row] = mask;
    for (int64_t k = 0; k < list.count; ++k) {
      __atomic_store_n(&named[list.rows[k]], uint8_t{1}, __ATOMIC_RELAXED);
    }
  }
};

bool can_share(const Table& table, const ViewGroup& group, uint64_t listed) {
  if (listed == 0 || group.count != 1) return false;
  bool whole = true;  // every value of a row is kept
  for_each_feature(listed,
                   [&](int32_t f) { whole &= !drops_values(group.views[0].plan, f, true); });
  return whole && table.list_offsets != nullptr;
}

/// first [rows + 1]: where each row's whole list would begin.
const int64_t* whole_lists(Context& context, ArenaScope& scope, const Table& table,
                           const ViewGroup& group) {
  auto* first = scope.get<int64_t>(static_cast<size_t>(group.n) + 1);
  context.pool.run(blocks_of(group.n), [&](int64_t block, int) {
    const int64_t end = std::min(group.n, (block + 1) * kBlockRows);
    check_rows(table, group, block * kBlockRows, end);
    for (int64_t i = block * kBlockRows; i < end; ++i) {
      const int64_t* offset = table.list_offsets + group.rows[i];
      first[i + 1] = offset[1] - offset[0];
    }
  });
  first[0] = 0;
  for (int64_t i = 0; i < group.n; ++i) first[i + 1] += first[i];
  return first;
}

/// scales [rows, scale_ld] from the number of values behind each row's slots.
void count_values(Context& context, const Table& table, const SharedLists& lists) {
  const PackedRows& records = facts_of(table).listed;
  context.pool.run(blocks_of(lists.rows), [&](int64_t block, int) {
    const int64_t end = std::min(lists.rows, (block + 1) * kBlockRows);
    for (int64_t i = block * kBlockRows; i < end; ++i) {
      for_each_feature(lists.features, [&](int32_t f) {
        int64_t total = 0;
        for (int64_t k = lists.begins[i]; k < lists.begins[i + 1]; ++k) {
          total += records.values(f, lists.slot_rows[lists.slots[k]]).count;
        }
        const bool is_default = total == 0 || (lists.masks[i] >> f & 1) != 0;
        lists.scales[i * lists.scale_ld + f] =
            is_default ? 0.0f : pooling_scale(table.features[f].pooling, total);
      });
    }
  });
}

/// A run of neighbouring columns, [first, first + width).
struct Columns {
  int64_t first;
  int32_t width;
};

/// The columns of the shared features, joined where they touch; returns how many.
int join_columns(const Table& table, const tt_embedding* embeddings, const int64_t* columns,
                 uint64_t features, Columns* joined) {
  int count = 0;
  for_each_feature(features, [&](int32_t f) {
    const int32_t dim = embeddings[table.features[f].embedding].dim;
    if (count > 0 && joined[count - 1].first + joined[count - 1].width == columns[f]) {
      joined[count - 1].width += dim;
    } else {
      joined[count++] = Columns{columns[f], dim};
    }
  });
  return count;
}

/// scaled [rows, width]: the gradients of the lists times what their sums were multiplied with.
float* scale_gradients(Context& context, ArenaScope& scope, const Table& table,
                       const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                       const SharedLists& lists) {
  auto* scaled = scope.get<float>(static_cast<size_t>(lists.rows * width));
  const tt_gather_view& view = *lists.planned.view;
  context.pool.run(blocks_of(lists.rows), [&](int64_t block, int) {
    const int64_t end = std::min(lists.rows, (block + 1) * kBlockRows);
    for (int64_t i = block * kBlockRows; i < end; ++i) {
      for_each_feature(lists.features, [&](int32_t f) {
        const int32_t dim = embeddings[table.features[f].embedding].dim;
        const float* from = view.vectors + i * view.ld + columns[f];
        float* to = scaled + i * width + columns[f];
        const float scale = lists.scales[i * lists.scale_ld + f];
        if (scale == 0.0f) {  // not 0 times a gradient: that may be infinite
          std::fill_n(to, dim, 0.0f);
        } else {
          for (int32_t j = 0; j < dim; ++j) to[j] = scale * from[j];
        }
      });
    }
  });
  return scaled;
}

/// The lists turned round: the rows that name each slot, ascending.
struct Uses {
  int64_t* begins;  // [slot_count + 1]
  int32_t* rows;    // [begins[slot_count]], and kReadAhead more that may be read
};

Uses turn_round(ArenaScope& scope, const SharedLists& lists) {
  const int64_t entries = lists.begins[lists.rows];
  Uses uses{scope.get<int64_t>(static_cast<size_t>(lists.slot_count) + 2),
            scope.get<int32_t>(static_cast<size_t>(entries) + kReadAhead)};
  // Shifted by one, so that filling leaves every begin where it belongs.
  std::fill_n(uses.begins, lists.slot_count + 2, int64_t{0});
  for (int64_t k = 0; k < entries; ++k) ++uses.begins[lists.slots[k] + 2];
  for (int64_t s = 0; s < lists.slot_count; ++s) uses.begins[s + 2] += uses.begins[s + 1];
  for (int64_t i = 0; i < lists.rows; ++i) {
    for (int64_t k = lists.begins[i]; k < lists.begins[i + 1]; ++k) {
      uses.rows[uses.begins[lists.slots[k] + 1]++] = static_cast<int32_t>(i);
    }
  }
  std::fill_n(uses.rows + entries, kReadAhead, 0);
  return uses;
}

}  // namespace

const SharedLists* share_lists(Context& context, ArenaScope& scope, const Table& table,
                               const ViewGroup& group) {
  const uint64_t listed = facts_of(table).through_list;
  if (!can_share(table, group, listed) || group.n == 0) return nullptr;
  const int64_t* first = whole_lists(context, scope, table, group);
  if (first[group.n] < kLeastUses * table.catalogue_rows) return nullptr;

  const auto rows = static_cast<size_t>(group.n);
  auto* kept = scope.get<int32_t>(static_cast<size_t>(first[group.n]));
  auto* lists = scope.get<SharedLists>(1);
  *lists = SharedLists{};
  lists->planned = group.views[0];
  lists->features = listed;
  lists->rows = group.n;
  lists->begins = scope.get<int64_t>(rows + 1);
  lists->masks = scope.get<uint64_t>(rows);
  auto* named = scope.get<uint8_t>(static_cast<size_t>(table.catalogue_rows));
  std::fill_n(named, table.catalogue_rows, uint8_t{0});
  auto* scratch = scope.get<WalkScratch*>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w) {
    scratch[w] = WalkScratch::get(context, scope, table);
  }
  context.pool.run(blocks_of(group.n), [&](int64_t block, int w) {
    ListSink sink{kept, first, lists->begins + 1, lists->masks, named};
    Walk<ListSink>(table, listed, group, *scratch[w], sink)
        .lists(block * kBlockRows, std::min(group.n, (block + 1) * kBlockRows));
  });
  lists->begins[0] = 0;
  for (int64_t i = 0; i < group.n; ++i) lists->begins[i + 1] += lists->begins[i];

  auto* slot_of = scope.get<int32_t>(static_cast<size_t>(table.catalogue_rows));
  lists->slot_rows = scope.get<int32_t>(static_cast<size_t>(table.catalogue_rows));
  for (int64_t row = 0; row < table.catalogue_rows; ++row) {
    slot_of[row] = static_cast<int32_t>(lists->slot_count);
    if (named[row] == 0) continue;
    lists->slot_rows[lists->slot_count++] = static_cast<int32_t>(row);
  }
  const int64_t entries = lists->begins[group.n];
  if (entries < kLeastUses * lists->slot_count) return nullptr;
  lists->slots = scope.get<int32_t>(static_cast<size_t>(entries) + kReadAhead);
  std::fill_n(lists->slots + entries, kReadAhead, 0);
  context.pool.run(blocks_of(group.n), [&](int64_t block, int) {
    const int64_t end = std::min(group.n, (block + 1) * kBlockRows);
    for (int64_t i = block * kBlockRows; i < end; ++i) {
      const int64_t begin = lists->begins[i];
      for (int64_t k = begin; k < lists->begins[i + 1]; ++k) {
        lists->slots[k] = slot_of[kept[first[i] + k - begin]];
      }
    }
  });
  lists->scale_ld = table.feature_count;
  lists->scales = scope.get<float>(rows * static_cast<size_t>(lists->scale_ld));
  count_values(context, table, *lists);
  return lists;
}

void pool_lists(Context& context, ArenaScope& scope, const Table& table,
                const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                const GatherKernels& kernels, const SharedLists& lists, const float* sums) {
  struct Scratch {
    Bag bags[kBlockRows];
    Bag defaults[kBlockRows];
    int32_t zeros[kBlockRows + kReadAhead];
  };
  auto* scratches = scope.get<Scratch>(static_cast<size_t>(context.pool.threads()));
  const tt_gather_view& view = *lists.planned.view;
  context.pool.run(blocks_of(lists.rows), [&](int64_t block, int w) {
    Scratch& scratch = scratches[w];
    std::fill(std::begin(scratch.zeros), std::end(scratch.zeros), 0);
    const int64_t end = std::min(lists.rows, (block + 1) * kBlockRows);
    for_each_feature(lists.features, [&](int32_t f) {
      const tt_embedding& embedding = embeddings[table.features[f].embedding];
      int64_t defaults = 0;
      // The slots of neighbouring rows are one array: a row with the default begins another job.
      int64_t first = block * kBlockRows;
      int64_t count = 0;
      const auto flush = [&] {
        if (count > 0) {
          kernels.pool(PoolJob{sums + columns[f], embedding.dim, width, TT_FLOAT32,
                               lists.slots + lists.begins[first], scratch.bags, count, false});
        }
        count = 0;
      };
      for (int64_t i = first; i < end; ++i) {
        float* out = view.vectors + i * view.ld + columns[f];
        const float scale = lists.scales[i * lists.scale_ld + f];
        if (scale == 0.0f) {
          flush();
          first = i + 1;
          scratch.defaults[defaults++] = Bag{out, 1, 1.0f, 1, 1};
        } else {
          const auto slots = static_cast<int32_t>(lists.begins[i + 1] - lists.begins[i]);
          scratch.bags[count++] = Bag{out, slots, scale, 1, 1};
        }
      }
      flush();
      if (defaults > 0) {
        kernels.pool(PoolJob{embedding.weights, embedding.dim, embedding.dim, embedding.dtype,
                             scratch.zeros, scratch.defaults, defaults, false});
      }
    });
  });
}

float* slot_gradients(Context& context, ArenaScope& scope, const Table& table,
                      const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                      const GatherKernels& kernels, const SharedLists& lists) {
  const float* scaled = scale_gradients(context, scope, table, embeddings, columns, width, lists);
  const Uses uses = turn_round(scope, lists);
  Columns joined[TT_MAX_FEATURES];
  const int parts = join_columns(table, embeddings, columns, lists.features, joined);
  auto* gradients = scope.get<float>(static_cast<size_t>(lists.slot_count * width));
  context.pool.run(blocks_of(lists.slot_count), [&](int64_t block, int) {
    Bag bags[kBlockRows];
    const int64_t first = block * kBlockRows;
    const int64_t end = std::min(lists.slot_count, first + kBlockRows);
    for (int part = 0; part < parts; ++part) {
      const int64_t column = joined[part].first;
      for (int64_t s = first; s < end; ++s) {
        bags[s - first] =
            Bag{gradients + s * width + column,
                static_cast<int32_t>(uses.begins[s + 1] - uses.begins[s]), 1.0f, 1, 1};
      }
      kernels.pool(PoolJob{scaled + column, joined[part].width, width, TT_FLOAT32,
                           uses.rows + uses.begins[first], bags, end - first, false});
    }
  });
  return gradients;
}

}  // namespace tt::cpu
