// One bag: the values of one feature in one row, and which of them each view keeps. All augmentation is
// decided here, from counters (core/augmentation.h); the masks of whole features come from feature_masks.
#pragma once

#include <cstdint>

#include "augmentation.h"
#include "gather/lanes.h"

namespace tt::cuda {

/// A feature as the kernels of one call read it.
struct GatherFeature {
  const int64_t* offsets;  // NULL: one value a row
  const int32_t* values;
  const void* weights;
  int64_t column;  // of its vector in a row of a view
  int64_t first_bag;
  int32_t index;  // in the table
  int32_t dim;
  int32_t pooling;
  int32_t through_list;
  int32_t lanes;  // that share a bag
  uint32_t first_block;
  uint32_t first_key;  // what its embedding's ids are counted from
};

struct ViewReading {
  const AugmentationPlan* plan;  // device
  const uint64_t* masks;         // [n], or NULL: nothing is masked as a whole
  const int32_t* left_out;
  float* vectors;
  int64_t ld;
  uint32_t row_base;
};

/// V views of the same rows.
template <int V>
struct Reading {
  const int32_t* rows;
  int64_t n;
  const int64_t* list_offsets;
  const int32_t* list_rows;
  ViewReading views[V];
};

/// What a sum of `count` values is multiplied with.
__device__ __forceinline__ float pooling_scale(int32_t pooling, int64_t count) {
  if (count == 1 || pooling == TT_POOL_SUM) return 1.0f;
  const auto n = static_cast<float>(count);
  return pooling == TT_POOL_MEAN ? __fdiv_rn(1.0f, n) : __frsqrt_rn(n);
}

template <int V>
class Bag {
 public:
  /// i: the row in the views.
  __device__ __forceinline__ Bag(const Reading<V>& reading, const GatherFeature& feature, int64_t i)
      : reading_(reading), feature_(feature), row_(reading.rows[i]), at_(i) {
    const bool multi_valued = feature.offsets != nullptr || feature.through_list != 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading.views[v];
      const bool masked = view.masks != nullptr && (view.masks[i] >> feature.index & 1) != 0;
      live_ |= (masked ? 0u : 1u) << v;
      drops_ |= (drops_values(*view.plan, feature.index, multi_valued) ? 1u : 0u) << v;
    }
  }

  /// The number of values that every view that is not masked keeps, or -1 where that needs a look at them.
  __device__ __forceinline__ int64_t known_count() const {
    if (live_ == 0) return 0;
    if (feature_.through_list != 0 || drops_ != 0) return -1;
    return feature_.offsets == nullptr ? 1 : feature_.offsets[row_ + 1] - feature_.offsets[row_];
  }

  /// Calls use(id, kept, count) for the values in their order, one a lane: bit v of `kept` tells whether view
  /// v keeps the lane's id; lanes from `count` on have none.
  template <class Use>
  __device__ __forceinline__ void for_tiles(const Lanes& lanes, Use&& use) const {
    if (live_ == 0) return;
    if (feature_.through_list == 0) {
      direct(lanes, use);
    } else if (feature_.offsets == nullptr) {
      listed(lanes, [&](const ListTile& tile) {
        const int32_t id = tile.kept != 0 ? feature_.values[tile.row] : 0;
        use(id, tile.kept & ~dropped(tile.kept, tile.position), tile.count);
      });
    } else {
      int64_t position = 0;
      listed(lanes,
             [&](const ListTile& tile) { position += listed_values(lanes, tile, position, use); });
    }
  }

 private:
  /// Positions of the row's list, one a lane.
  struct ListTile {
    int32_t row;  // of the catalogue
    int64_t position;
    unsigned kept;  // bit v: view v keeps the position
    int count;      // lanes that have one
  };

  /// The counter's row of view v.
  __device__ __forceinline__ uint32_t counter_row(int v) const {
    return reading_.views[v].row_base + static_cast<uint32_t>(at_);
  }

  /// Of the views in `asked`: bit v: view v drops the value at the position.
  __device__ __forceinline__ unsigned dropped(unsigned asked, int64_t position) const {
    unsigned bits = 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      if ((drops_ & asked & (1u << v)) == 0) continue;
      const uint32_t four = dropped_values(*reading_.views[v].plan, counter_row(v), feature_.index,
                                           static_cast<uint32_t>(position / 4));
      bits |= (four >> (position % 4) & 1u) << v;
    }
    return bits;
  }

  template <class Use>
  __device__ __forceinline__ void direct(const Lanes& lanes, Use& use) const {
    const bool multi = feature_.offsets != nullptr;
    const int64_t begin = multi ? feature_.offsets[row_] : int64_t{row_};
    const int64_t end = multi ? feature_.offsets[row_ + 1] : begin + 1;
    for (int64_t at = begin; at < end; at += lanes.width()) {
      const int64_t i = at + lanes.lane();
      const unsigned kept = i < end ? live_ & ~dropped(live_, i - begin) : 0u;
      const int32_t id = kept != 0 ? feature_.values[i] : 0;
      use(id, kept, static_cast<int>(end - at < lanes.width() ? end - at : lanes.width()));
    }
  }

  template <class Use>
  __device__ __forceinline__ void listed(const Lanes& lanes, Use&& use) const {
    const int64_t begin = reading_.list_offsets[row_];
    const int64_t end = reading_.list_offsets[row_ + 1];
    for (int64_t at = begin; at < end; at += lanes.width()) {
      ListTile tile{};
      const int64_t i = at + lanes.lane();
      tile.position = i - begin;
      tile.count = static_cast<int>(end - at < lanes.width() ? end - at : lanes.width());
      if (i < end) {
        tile.row = reading_.list_rows[i];
        tile.kept = kept_in_list(tile.row, tile.position);
      }
      use(tile);
    }
  }

  __device__ __forceinline__ unsigned kept_in_list(int32_t row, int64_t position) const {
    unsigned kept = live_;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading_.views[v];
      if (view.left_out != nullptr && view.left_out[at_] == row) kept &= ~(1u << v);
      if ((view.plan->transforms & TT_LIST_DROPOUT) == 0) continue;
      const uint32_t four =
          dropped_list_rows(*view.plan, counter_row(v), static_cast<uint32_t>(position / 4));
      if ((four >> (position % 4) & 1u) != 0) kept &= ~(1u << v);
    }
    return kept;
  }

  /// The values of a tile of catalogue rows, laid end to end; `position` of the first. Returns how many.
  template <class Use>
  __device__ __forceinline__ int listed_values(const Lanes& lanes, const ListTile& tile,
                                               int64_t position, Use& use) const {
    const bool has_row = lanes.lane() < tile.count;
    const int64_t begin = has_row ? feature_.offsets[tile.row] : 0;
    // Fits: table_create has checked that no catalogue row is that long.
    const int own = has_row ? static_cast<int>(feature_.offsets[tile.row + 1] - begin) : 0;
    const int behind = lanes.inclusive_sum(own);  // values of the lanes up to this one
    const int total = lanes.from(behind, lanes.width() - 1);
    for (int at = 0; at < total; at += lanes.width()) {
      const int value = at + lanes.lane();
      int owner = 0;  // the lane whose row the value is of: the first that has it behind itself
      for (int step = lanes.width() / 2; step > 0; step /= 2) {
        if (lanes.from(behind, owner + step - 1) <= value) owner += step;
      }
      const int64_t first = lanes.from(begin - (behind - own), owner);
      unsigned kept = lanes.from(tile.kept, owner);
      if (value >= total) kept = 0;
      kept &= ~dropped(kept, position + value);
      const int32_t id = kept != 0 ? feature_.values[first + value] : 0;
      use(id, kept, total - at < lanes.width() ? total - at : lanes.width());
    }
    return total;
  }

  const Reading<V>& reading_;
  const GatherFeature& feature_;
  int64_t row_;
  int64_t at_;
  unsigned live_ = 0;   // bit v: view v does not mask the feature as a whole
  unsigned drops_ = 0;  // bit v: view v may drop single values
};

}  // namespace tt::cuda
