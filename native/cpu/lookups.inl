// What the transformations leave of lists and values: the part of Walk that decides them. Included by lookups.h only.
#ifndef TWINTAIL_CPU_LOOKUPS_INL
#define TWINTAIL_CPU_LOOKUPS_INL

namespace tt::cpu {

inline int groups_of_four(int64_t count) {
  return static_cast<int>((std::min(count, kDrawnPositions) + 3) / 4);
}

template <class Sink>
void Walk<Sink>::decide_lists(int64_t begin, int rows) {
  const PackedRows& listed = facts_of(table_).listed;
  int64_t longest = 0;
  for (int r = 0; r < rows; ++r) {
    const int64_t* offset = table_.list_offsets + group_.rows[begin + r];
    longest = std::max(longest, offset[1] - offset[0]);
    for (int64_t k = offset[0]; k < offset[1]; ++k) listed.prefetch_begin(table_.list_rows[k]);
  }
  for (int v = 0; v < group_.count; ++v) {
    const PlannedView& planned = group_.views[v];
    uint32_t drawn[kChunkRows] = {};
    if ((planned.plan.transforms & TT_LIST_DROPOUT) != 0 && longest > 0) {
      dropped_list_rows(*scratch_.kernels, planned.plan, counter_row(planned, begin), rows,
                        groups_of_four(longest), drawn);
    }
    int64_t used = 0;
    for (int r = 0; r < rows; ++r) {
      KeptList& kept = scratch_.kept[v][r];
      kept = keep(planned, begin + r, drawn[r], scratch_.kept_rows[v] + used,
                  scratch_.kept_positions[v] + used);
      if (kept.positions != nullptr) used += kept.count;
      for (int64_t k = 0; k < kept.count; ++k) listed.prefetch_record(kept.rows[k]);
    }
  }
}

/// drawn: bit p tells whether position p < kDrawnPositions is dropped.
template <class Sink>
KeptList Walk<Sink>::keep(const PlannedView& planned, int64_t row, uint32_t drawn, int32_t* kept,
                          int32_t* positions) const {
  const int64_t* offset = table_.list_offsets + group_.rows[row];
  const int32_t* list = table_.list_rows + offset[0];
  const int64_t length = offset[1] - offset[0];
  const bool drops = (planned.plan.transforms & TT_LIST_DROPOUT) != 0;
  const int32_t left_out = planned.view->left_out != nullptr ? planned.view->left_out[row] : -1;
  if (!drops && left_out < 0) return KeptList{list, nullptr, length};

  int64_t count = 0;
  uint32_t dropped = drawn;
  for (int64_t p = 0; p < length; ++p, dropped >>= 1) {
    if (drops && p >= kDrawnPositions && p % 4 == 0) {
      dropped = tt::dropped_list_rows(planned.plan, counter_row(planned, row),
                                      static_cast<uint32_t>(p / 4));
    }
    kept[count] = list[p];
    positions[count] = static_cast<int32_t>(p);
    count += list[p] != left_out && (dropped & 1) == 0 ? 1 : 0;
  }
  return KeptList{kept, positions, count};
}

/// The value dropout of one feature for the whole chunk, as far as its bits
/// reach.
template <class Sink>
void Walk<Sink>::decide_values(int32_t f, int64_t begin, int first, int last) {
  const tt_feature& feature = table_.features[f];
  const bool multi_valued = feature.offsets != nullptr || feature.through_list != 0;
  int64_t longest = -1;
  for (int v = 0; v < group_.count; ++v) {
    const PlannedView& planned = group_.views[v];
    scratch_.drawn[v] = 0;
    if (!drops_values(planned.plan, f, multi_valued)) continue;
    if (longest < 0) {
      longest = feature.through_list != 0 ? kDrawnPositions : 0;
      for (int r = first; r < last && longest < kDrawnPositions; ++r) {
        longest = std::max(longest, records_.values_in(scratch_.records[r], f).count);
      }
    }
    if (longest == 0) continue;
    const int groups = groups_of_four(longest);
    scratch_.drawn[v] = 4 * groups;
    dropped_values(*scratch_.kernels, planned.plan, counter_row(planned, begin + first),
                   last - first, f, groups, scratch_.dropped[v]);
  }
}

template <class Sink>
void Walk<Sink>::through_list(const Bag& bag) {
  const PackedRows& records = facts_of(table_).listed;
  const KeptList& kept = scratch_.kept[bag.v][bag.r];
  int64_t total = 0;
  if (!drops_values(group_.views[bag.v].plan, bag.f, true)) {
    for (int64_t k = 0; k < kept.count; ++k) {
      const PackedRows::Values values = records.values(bag.f, kept.rows[k]);
      if (values.count > 0) sink_.ids(values.ids, values.count, kReadable);
      total += values.count;
    }
  } else {
    // Positions of values go on through removed rows too.
    const int64_t* offset = table_.list_offsets + group_.rows[bag.begin + bag.r];
    const int32_t* list = table_.list_rows + offset[0];
    int64_t position = 0;
    int64_t k = 0;
    for (int64_t p = 0; k < kept.count; ++p) {
      const PackedRows::Values values = records.values(bag.f, list[p]);
      if (kept.positions == nullptr || kept.positions[k] == p) {
        total += dropping(bag, values.ids, values.count, position);
        ++k;
      }
      position += values.count;
    }
  }
  if (total == 0) sink_.ids(kDefaultIds, 1, kReadable);
}

/// Hands over the values that value dropout keeps, and returns how many.
/// position: of ids[0].
template <class Sink>
int64_t Walk<Sink>::dropping(const Bag& bag, const int32_t* ids, int64_t count, int64_t position) {
  constexpr int64_t kPart = 32;
  const PlannedView& planned = group_.views[bag.v];
  const uint32_t row = counter_row(planned, bag.begin + bag.r);
  int64_t total = 0;
  for (int64_t begin = 0; begin < count; begin += kPart) {
    const int64_t end = std::min(count, begin + kPart);
    uint64_t dropped = 0;  // bit j: the value at position + begin + j is dropped
    if (position + end <= scratch_.drawn[bag.v]) {
      dropped = scratch_.dropped[bag.v][bag.r % kChunkRows] >> (position + begin);
    } else {
      const int64_t first = (position + begin) / 4 * 4;
      for (int64_t p = first; p < position + end; p += 4) {
        dropped |= static_cast<uint64_t>(
                       tt::dropped_values(planned.plan, row, bag.f, static_cast<uint32_t>(p / 4)))
                   << (p - first);
      }
      dropped >>= position + begin - first;
    }
    int32_t kept[kPart];
    int64_t kept_count = 0;
    if (end - begin <= kReadable) {
      // As many turns for any count: no loop whose end would be mispredicted.
      dropped |= ~uint64_t{0} << (end - begin);
      for (int i = 0; i < kReadable; ++i) {
        kept[kept_count] = ids[begin + i];
        kept_count += static_cast<int64_t>(~(dropped >> i) & 1);
      }
      if (kept_count > 0) sink_.ids(kept, kept_count, kPart);
      total += kept_count;
      continue;
    }
    for (int64_t i = begin; i < end; ++i, dropped >>= 1) {
      kept[kept_count] = ids[i];
      kept_count += static_cast<int64_t>(~dropped & 1);
    }
    if (kept_count > 0) sink_.ids(kept, kept_count, kPart);
    total += kept_count;
  }
  return total;
}

}  // namespace tt::cpu
#endif
