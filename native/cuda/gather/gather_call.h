// What the gather ops give their kernels: features, plans, masks, small arrays.
#pragma once

#include <cstddef>
#include <cstring>
#include <vector>

#include "context.h"
#include "gather/bag.h"

namespace tt::cuda {

/// Small host arrays that go to the device as arguments of kernels, which are kept with the launch: in a graph a copy from
/// the host's memory would be made when the graph runs, and the memory is gone by then.
class Staging {
 public:
  /// Returns where the items will lie, for at().
  template <class T>
  size_t add(const T* items, size_t count) {
    static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= kAlignment);
    const size_t place = (bytes_.size() + kAlignment - 1) / kAlignment * kAlignment;
    bytes_.resize(place + count * sizeof(T));
    if (count > 0) std::memcpy(bytes_.data() + place, items, count * sizeof(T));
    return place;
  }
  template <class T>
  size_t add(const std::vector<T>& items) {
    return add(items.data(), items.size());
  }
  void send(Context& context, Scope& scope);
  template <class T>
  const T* at(size_t place) const {
    return reinterpret_cast<const T*>(device_ + place);
  }

 private:
  static constexpr size_t kAlignment = 16;
  std::vector<unsigned char> bytes_;
  unsigned char* device_ = nullptr;
};

/// The features of a table, but for lanes and first_block. embeddings: NULL where only values are wanted.
std::vector<GatherFeature> gather_features(const Table& table, const tt_embedding* embeddings);

/// The views as kernels read them; draws the masks of whole features first, in memory of the scope.
std::vector<ViewReading> read_views(Context& context, Scope& scope, const Table& table,
                                    const tt_gather_view* views, int32_t view_count);

/// masks [n]: the features that the view masks as a whole in each row.
void feature_masks(Context& context, const Table& table, const tt_gather_view& view,
                   uint64_t* masks);

/// Gives `feature` the next blocks of a launch, for n bags; returns the first block behind them.
uint32_t give_blocks(GatherFeature& feature, int lanes, int threads, int64_t n,
                     uint32_t first_block);

template <int V>
Reading<V> make_reading(const Table& table, const tt_gather_view& first, const ViewReading* views) {
  Reading<V> reading{first.rows, first.n, table.list_offsets, table.list_rows, {}};
  for (int v = 0; v < V; ++v) reading.views[v] = views[v];
  return reading;
}

/// Whether rows of `dim` elements of `size` bytes behind each other may be read four elements at a time.
inline bool quads_aligned(const void* first, int64_t dim, size_t size) {
  return dim % 4 == 0 && reinterpret_cast<uintptr_t>(first) % (4 * size) == 0;
}
inline size_t size_of(int32_t dtype) {
  return dtype == TT_BFLOAT16 ? 2 : 4;
}

}  // namespace tt::cuda
