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
  DropoutPlan plan;
  const uint64_t* masks;  // [n], or NULL: nothing is masked as a whole
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

constexpr int kRound = 4;  // values at a time: those of one Philox block

template <int V>
class Bag {
 public:
  /// i: the row in the views.
  __device__ __forceinline__ Bag(const Reading<V>& reading, const GatherFeature& feature, int64_t i)
      : reading_(reading),
        offsets_(feature.offsets),
        values_(feature.values),
        index_(feature.index),
        through_list_(feature.through_list != 0),
        row_(reading.rows[i]),
        at_(i) {
    static_assert(V <= 2, "draws are shared out among the lanes for two views");
    const bool multi_valued = offsets_ != nullptr || through_list_;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading.views[v];
      const bool masked = view.masks != nullptr && (view.masks[i] >> index_ & 1) != 0;
      live_ |= (masked ? 0u : 1u) << v;
      drops_ |= (drops_values(view.plan, index_, multi_valued) ? 1u : 0u) << v;
    }
    drops_ &= live_;
  }

  /// The number of values that every view that is not masked keeps, or -1 where that needs a look at them.
  __device__ __forceinline__ int64_t known_count() const {
    if (live_ == 0) return 0;
    if (through_list_ || drops_ != 0) return -1;
    return offsets_ == nullptr ? 1 : offsets_[row_ + 1] - offsets_[row_];
  }

  /// Calls use(id, kept, count) for the values in their order, one a lane: bit v of `kept` tells whether view
  /// v keeps the lane's id; lanes from `count` on have none.
  template <class Use>
  __device__ __forceinline__ void for_tiles(const Lanes& lanes, Use&& use) const {
    if (live_ == 0) return;
    if (!through_list_) {
      direct(lanes, use);
    } else if (offsets_ == nullptr) {
      listed(lanes, [&](const ListTile& tile, int64_t first) {
        const int32_t id = tile.kept != 0 ? values_[tile.row] : 0;
        use(id, tile.kept & ~dropped(lanes, first), tile.count);
      });
    } else {
      int64_t position = 0;
      listed(lanes, [&](const ListTile& tile, int64_t) {
        position += listed_values(lanes, tile, position, use);
      });
    }
  }

  /// Calls use(ids, kept) for kRound values at a time, in their order, the same in each lane: bit v of kept[u] tells
  /// whether view v keeps ids[u]; where none does, ids[u] is of no use. kListed: whether the feature is one of a list.
  template <bool kListed, class Use>
  __device__ __forceinline__ void for_rounds(const Lanes& lanes, Use&& use) const {
    if (live_ == 0) return;
    if constexpr (!kListed) {
      direct_rounds(lanes, use);
    } else {
      for_tiles(lanes, [&](int32_t id, unsigned kept, int count) {
        for (int j = 0; j < count; j += kRound) {
          int32_t ids[kRound];
          unsigned all[kRound];
#pragma unroll
          for (int u = 0; u < kRound; ++u) {
            ids[u] = lanes.from(id, j + u);
            all[u] = lanes.from(kept, j + u);
          }
          use(ids, all);
        }
      });
    }
  }

 private:
  /// Positions of the row's list, one a lane.
  struct ListTile {
    int32_t row;    // of the catalogue
    unsigned kept;  // bit v: view v keeps the position
    int count;      // lanes that have one
  };

  /// The counter's row of view v.
  __device__ __forceinline__ uint32_t counter_row(int v) const {
    return reading_.views[v].row_base + static_cast<uint32_t>(at_);
  }

  /// Events of the width's positions from `first` on, of the views in `asked`: a lane draws a block of four of one view.
  /// draw(v, group): the four bits of a block.
  struct Draws {
    unsigned four;  // the lane's
    int blocks;     // lanes of a view
    int64_t first;  // position

    /// Bit v: view v's event at position first + i, which may differ among the lanes.
    __device__ __forceinline__ unsigned at(const Lanes& lanes, int i) const {
      const auto position = static_cast<int>(first % 4) + i;
      unsigned bits = 0;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        bits |= (lanes.from(four, v * blocks + position / 4) >> (position % 4) & 1u) << v;
      }
      return bits;
    }
  };
  template <class Draw>
  __device__ __forceinline__ Draws share_draws(const Lanes& lanes, int64_t first, unsigned asked,
                                               Draw&& draw) const {
    const int blocks = lanes.width() / 4 + 1;  // wherever in a block `first` is
    const int v = V == 2 && lanes.lane() >= blocks ? 1 : 0, block = lanes.lane() - v * blocks;
    Draws draws{0, blocks, first};
    if (block < blocks && (asked >> v & 1u) != 0) {
      draws.four = draw(v, static_cast<uint32_t>(first / 4) + static_cast<uint32_t>(block));
    }
    return draws;
  }
  __device__ __forceinline__ Draws value_draws(const Lanes& lanes, int64_t first) const {
    return share_draws(lanes, first, drops_, [&](int v, uint32_t group) {
      return dropped_values(reading_.views[v].plan, counter_row(v), index_, group);
    });
  }

  /// Bit v: view v drops the value at position first + lane.
  __device__ __forceinline__ unsigned dropped(const Lanes& lanes, int64_t first) const {
    if (drops_ == 0) return 0;
    return value_draws(lanes, first).at(lanes, lanes.lane());
  }

  /// The values of a bag that reads no list: [begin, end).
  struct Span {
    int64_t begin, end;
  };
  __device__ __forceinline__ Span span() const {
    if (offsets_ == nullptr) return Span{row_, row_ + 1};
    return Span{offsets_[row_], offsets_[row_ + 1]};
  }

  template <class Use>
  __device__ __forceinline__ void direct(const Lanes& lanes, Use& use) const {
    const Span span = this->span();
    for (int64_t at = span.begin; at < span.end; at += lanes.width()) {
      const int64_t i = at + lanes.lane();
      const unsigned lost = dropped(lanes, at - span.begin);
      const unsigned kept = i < span.end ? live_ & ~lost : 0u;
      const int32_t id = kept != 0 ? values_[i] : 0;
      use(id, kept, static_cast<int>(min(span.end - at, int64_t{lanes.width()})));
    }
  }

  /// Every lane reads all ids, which is one access for the group, and waits for no exchange.
  template <class Use>
  __device__ __forceinline__ void direct_rounds(const Lanes& lanes, Use& use) const {
    const Span span = this->span();
    for (int64_t tile = span.begin; tile < span.end; tile += lanes.width()) {
      Draws draws{};
      if (drops_ != 0) draws = value_draws(lanes, tile - span.begin);
      const auto count = static_cast<int>(min(span.end - tile, int64_t{lanes.width()}));
      for (int j = 0; j < count; j += kRound) {
        int32_t ids[kRound];
        unsigned kept[kRound];
#pragma unroll
        for (int u = 0; u < kRound; ++u) {
          ids[u] = j + u < count ? values_[tile + j + u] : 0;
          kept[u] = j + u < count ? live_ : 0u;
        }
        if (drops_ != 0) {  // tiles begin where a block does
#pragma unroll
          for (int v = 0; v < V; ++v) {
            const unsigned four = lanes.from(draws.four, v * draws.blocks + j / 4);
#pragma unroll
            for (int u = 0; u < kRound; ++u) kept[u] &= ~((four >> u & 1u) << v);
          }
        }
        use(ids, kept);
      }
    }
  }

  template <class Use>
  __device__ __forceinline__ void listed(const Lanes& lanes, Use&& use) const {
    const int64_t begin = reading_.list_offsets[row_];
    const int64_t end = reading_.list_offsets[row_ + 1];
    unsigned drops = 0;  // bit v: view v leaves out rows of lists
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const bool leaves = (reading_.views[v].plan.transforms & TT_LIST_DROPOUT) != 0;
      drops |= (leaves ? live_ & (1u << v) : 0u);
    }
    for (int64_t at = begin; at < end; at += lanes.width()) {
      ListTile tile{};
      const int64_t i = at + lanes.lane(), first = at - begin;
      tile.count = static_cast<int>(min(end - at, int64_t{lanes.width()}));
      unsigned lost = 0;
      if (drops != 0) {
        lost = share_draws(lanes, first, drops, [&](int v, uint32_t group) {
                 return dropped_list_rows(reading_.views[v].plan, counter_row(v), group);
               }).at(lanes, lanes.lane());
      }
      if (i < end) {
        tile.row = reading_.list_rows[i];
        tile.kept = live_ & ~(lost | left_out(tile.row));
      }
      use(tile, first);
    }
  }

  /// Bit v: view v leaves the catalogue row out, wherever it is listed.
  __device__ __forceinline__ unsigned left_out(int32_t row) const {
    unsigned bits = 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading_.views[v];
      if (view.left_out != nullptr && view.left_out[at_] == row) bits |= 1u << v;
    }
    return bits;
  }

  /// The values of a tile of catalogue rows, laid end to end; `position` of the first. Returns how many.
  template <class Use>
  __device__ __forceinline__ int listed_values(const Lanes& lanes, const ListTile& tile,
                                               int64_t position, Use& use) const {
    const bool has_row = lanes.lane() < tile.count;
    const int64_t begin = has_row ? offsets_[tile.row] : 0;
    // Fits: table_create has checked that no catalogue row is that long.
    const int own = has_row ? static_cast<int>(offsets_[tile.row + 1] - begin) : 0;
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
      kept &= ~dropped(lanes, position + at);
      const int32_t id = kept != 0 ? values_[first + value] : 0;
      use(id, kept, min(total - at, lanes.width()));
    }
    return total;
  }

  const Reading<V>& reading_;
  const int64_t* offsets_;  // of the feature
  const int32_t* values_;
  int32_t index_;
  bool through_list_;
  int64_t row_;
  int64_t at_;
  unsigned live_ = 0;   // bit v: view v does not mask the feature as a whole
  unsigned drops_ = 0;  // bit v: view v may drop single values
};

}  // namespace tt::cuda
