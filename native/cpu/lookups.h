// Going over the rows of a gather: which embedding ids each view reads for each
// row and feature.
//
// Forward, backward and previews share this walk and differ in the sink that
// takes its ids. All augmentation is decided here, from counters
// (augmentation.h), in blocks of rows so that the decisions of a row's list
// serve all its features and the table's memory is asked for ahead of its use.
#ifndef TWINTAIL_CPU_LOOKUPS_H
#define TWINTAIL_CPU_LOOKUPS_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "context.h"
#include "feature_table.h"
#include "gather_views.h"
#include "isa_select.h"
#include "row_draws.h"

namespace tt::cpu {

constexpr int kChunkRows = kDrawRows;
/// Rows of which one feature after the other is walked: as long as one embedding table is read, the processor keeps the
/// translations of its addresses.
constexpr int kStripRows = 16 * kChunkRows;
/// For as many words a strip's records are copied side by side, which need no translations either.
constexpr int64_t kStripWords = 1 << 16;
constexpr int64_t kListCapacity = 4096;

inline uint64_t all_features(const Table& table) {
  return ~uint64_t{0} >> (TT_MAX_FEATURES - table.feature_count);
}

/// The column of each feature's vector in a row of a view; returns the width of
/// all.
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
  const int32_t* positions;  // their positions in the whole list; NULL where
                             // none was removed
  int64_t count;
};

constexpr int64_t kReadable = 8;
constexpr int32_t kDefaultIds[kReadable] = {};  // the default's id 0, and room to read

/// Temporary memory of one worker.
struct WalkScratch {
  const DrawKernels* kernels;
  uint32_t dropped[kMostGroupViews][kChunkRows];  // values of the current feature, by position
  int64_t drawn[kMostGroupViews];                 // positions that `dropped` knows
  uint64_t masks[kMostGroupViews][kStripRows];
  KeptList kept[kMostGroupViews][kChunkRows];
  int32_t words[kStripWords + kReadable];
  const int32_t* records[kStripRows];   // of the strip's rows, in `words` or in place
  int32_t* kept_rows[kMostGroupViews];  // [list_capacity]
  int32_t* kept_positions[kMostGroupViews];
  int64_t list_capacity;

  static WalkScratch* get(const Context& context, ArenaScope& scope, const Table& table) {
    auto* scratch = scope.get<WalkScratch>(1);
    scratch->kernels = &TT_SELECT(context.isa, kDraw);
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
///   void feature(int32_t f);                   before the bags of feature f in a strip
///   void begin(const PlannedView&, int64_t row, int32_t f);   row: in the view
///   void ids(const int32_t* ids, int64_t count, int64_t readable);   any number of times; the memory of
///                                              `readable` >= count ids may be read
///   void end();                                the bag is complete and not empty
///   void short_bag(const PlannedView&, int64_t row, int32_t f, const int32_t* ids, int64_t count);   all of this for
///                                              1 to kReadable ids; kReadable may be read
///   void strip_end();
template <class Sink>
class Walk {
 public:
  Walk(const Table& table, uint64_t features, const ViewGroup& group, WalkScratch& scratch,
       Sink& sink)
      : table_(table),
        records_(facts_of(table).direct),
        features_(features),
        group_(group),
        scratch_(scratch),
        sink_(sink) {}

  /// Calls the sink's list(row, kept list, masks) for the rows [begin, end) of a group of one view. Nothing
  /// else of the sink is needed then.
  void lists(int64_t begin, int64_t end) {
    while (begin < end) {
      const int64_t behind = end_of_chunk(begin, end);
      const auto rows = static_cast<int>(behind - begin);
      decide_masks(begin, 0, rows);
      decide_lists(begin, rows);
      for (int r = 0; r < rows; ++r) {
        sink_.list(begin + r, scratch_.kept[0][r], scratch_.masks[0][r]);
      }
      begin = behind;
    }
  }

  /// The rows [begin, end) of the group, which were checked.
  void rows(int64_t begin, int64_t end) {
    feature_count_ = 0;
    for (uint64_t rest = features_; rest != 0; rest &= rest - 1) {
      order_[feature_count_++] = lowest_bit(rest);
    }
    ask_for(begin, end);
    const bool listed = (features_ & facts_of(table_).through_list) != 0;
    while (begin < end) {
      const int64_t behind =
          listed ? end_of_chunk(begin, end) : std::min<int64_t>(end, begin + kStripRows);
      if (listed) decide_lists(begin, static_cast<int>(behind - begin));
      strip(begin, static_cast<int>(behind - begin), end);
      begin = behind;
    }
  }

 private:
  int64_t end_of_chunk(int64_t begin, int64_t end) const;
  void ask_for(int64_t begin, int64_t end) const;
  void strip(int64_t begin, int rows, int64_t end);
  void prepare(int64_t begin, int first, int last, int64_t end);
  const int32_t* copy_record(int64_t row);
  void chunk(int32_t f, int64_t begin, int first, int last);
  void decide_masks(int64_t begin, int first, int last);
  void decide_lists(int64_t begin, int rows);
  KeptList keep(const PlannedView& planned, int64_t row, uint32_t drawn, int32_t* kept,
                int32_t* positions) const;
  void decide_values(int32_t f, int64_t begin, int first, int last);
  /// A bag: view v of the group, row r of the strip that begins at `begin`.
  struct Bag {
    int32_t f;
    int v, r;
    int64_t begin;
  };
  void direct(int32_t f, int64_t begin, int r);
  void long_bag(const Bag& bag, PackedRows::Values values, bool masked);
  void through_list(const Bag& bag);
  int64_t dropping(const Bag& bag, const int32_t* ids, int64_t count, int64_t position);
  uint32_t counter_row(const PlannedView& planned, int64_t row) const {
    return static_cast<uint32_t>(planned.view->row_base + row);
  }

  const Table& table_;
  const PackedRows& records_;  // of the rows themselves
  uint64_t features_;          // bit f: feature f is walked
  int32_t order_[TT_MAX_FEATURES];
  int32_t feature_count_ = 0;
  int64_t copied_ = 0;  // words of the strip's records so far
  const ViewGroup& group_;
  WalkScratch& scratch_;
  Sink& sink_;
};

/// As many rows as a chunk holds and as their lists leave room for. A single
/// list always fits.
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

/// The records of the first chunk, and what begins those of the second. What comes later is asked for while the
/// chunk before is prepared.
template <class Sink>
void Walk<Sink>::ask_for(int64_t begin, int64_t end) const {
  const int64_t next = std::min(end, begin + 2 * kChunkRows);
  for (int64_t i = begin; i < next; ++i) records_.prefetch_begin(group_.rows[i]);
  end = std::min(end, begin + kChunkRows);
  for (int64_t i = begin; i < end; ++i) records_.prefetch_record(group_.rows[i]);
}

/// The rows [begin, begin + rows) of those before `end`.
template <class Sink>
void Walk<Sink>::strip(int64_t begin, int rows, int64_t end) {
  copied_ = 0;
  for (int32_t s = 0; s < feature_count_; ++s) {
    sink_.feature(order_[s]);
    for (int first = 0; first < rows; first += kChunkRows) {
      const int last = std::min(rows, first + kChunkRows);
      if (s == 0) prepare(begin, first, last, end);
      chunk(order_[s], begin, first, last);
    }
  }
  sink_.strip_end();
}

/// What all features need of the rows [first, last) of a strip; asks for the records of the chunk behind.
template <class Sink>
void Walk<Sink>::prepare(int64_t begin, int first, int last, int64_t end) {
  decide_masks(begin, first, last);
  for (int r = first; r < last; ++r) {
    const int64_t next = begin + kChunkRows + r;
    if (next < end) records_.prefetch_record(group_.rows[next]);
    if (next + kChunkRows < end) records_.prefetch_begin(group_.rows[next + kChunkRows]);
    scratch_.records[r] = copy_record(group_.rows[begin + r]);
  }
}

/// The row's record behind those of the strip, or in place where there is no room.
template <class Sink>
const int32_t* Walk<Sink>::copy_record(int64_t row) {
  const int32_t* record = records_.record(row);
  const int64_t words = records_.words(row);
  if (words == 0 || copied_ + words > kStripWords) return record;
  int32_t* copy = scratch_.words + copied_;
  std::memcpy(copy, record, static_cast<size_t>(words) * sizeof(int32_t));
  copied_ += words;
  return copy;
}

/// Feature f of the rows [first, last) of a strip.
template <class Sink>
void Walk<Sink>::chunk(int32_t f, int64_t begin, int first, int last) {
  const bool listed = table_.features[f].through_list != 0;
  decide_values(f, begin, first, last);
  for (int r = first; r < last; ++r) {
    if (!listed) {
      direct(f, begin, r);
      continue;
    }
    for (int v = 0; v < group_.count; ++v) {
      sink_.begin(group_.views[v], begin + r, f);
      if ((scratch_.masks[v][r] >> f & 1) != 0) {
        sink_.ids(kDefaultIds, 1, kReadable);
      } else {
        through_list(Bag{f, v, r, begin});
      }
      sink_.end();
    }
  }
}

/// Feature f of row r of a strip, for all views.
template <class Sink>
void Walk<Sink>::direct(int32_t f, int64_t begin, int r) {
  const PackedRows::Values values = records_.values_in(scratch_.records[r], f);
  for (int v = 0; v < group_.count; ++v) {
    const bool masked = (scratch_.masks[v][r] >> f & 1) != 0;
    if (values.count > kReadable) {
      long_bag(Bag{f, v, r, begin}, values, masked);
      continue;
    }
    // Whether a row is masked, and how many of its values are left, are branches nobody can predict: there are none.
    const int32_t* ids = values.ids;
    int64_t count = values.count;
    int32_t kept[kReadable];
    if (scratch_.drawn[v] > 0) {
      const uint32_t wanted = ~scratch_.dropped[v][r % kChunkRows] & ((1u << count) - 1);
      count = 0;
      for (int i = 0; i < kReadable; ++i) {
        kept[count] = ids[i];
        count += wanted >> i & 1;
      }
      ids = kept;
    }
    const bool none = masked | (count == 0);
    sink_.short_bag(group_.views[v], begin + r, f, none ? kDefaultIds : ids, none ? 1 : count);
  }
}

/// A bag of more than kReadable values, if no transformation removes any.
template <class Sink>
void Walk<Sink>::long_bag(const Bag& bag, PackedRows::Values values, bool masked) {
  sink_.begin(group_.views[bag.v], bag.begin + bag.r, bag.f);
  int64_t count = masked ? 0 : values.count;
  if (count > 0 &&
      drops_values(group_.views[bag.v].plan, bag.f, table_.features[bag.f].offsets != nullptr)) {
    count = dropping(bag, values.ids, count, 0);
  } else if (count > 0) {
    sink_.ids(values.ids, count, kReadable);
  }
  if (count == 0) sink_.ids(kDefaultIds, 1, kReadable);
  sink_.end();
}

template <class Sink>
void Walk<Sink>::decide_masks(int64_t begin, int first, int last) {
  for (int v = 0; v < group_.count; ++v) {
    const PlannedView& planned = group_.views[v];
    feature_masks(*scratch_.kernels, planned.plan, counter_row(planned, begin + first),
                  last - first, scratch_.masks[v] + first);
  }
}

}  // namespace tt::cpu

#include "lookups.inl"
#endif
