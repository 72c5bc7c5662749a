#include "gather/runs.h"

#include "gather/look_back.h"
#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kItems = 8;  // of a thread, behind each other
constexpr int kTile = kScanThreads * kItems;
constexpr const char* kDoing = "finding runs of lookups";

struct Runs {
  const uint32_t* keys;
  Extent extent;
  const int64_t* first_keys;  // [tables + 1]
  int tables;
  TileWord* ticket;
  TileWord* sums;  // a word a tile
  uint32_t* starts;
  uint32_t* table_runs;
};

/// A tile, and which of its keys begin runs.
struct Tile {
  int64_t begin, end;        // lookups
  uint32_t first_run, runs;  // that begin before it, in it
  const uint32_t*
      before;  // shared [kScanThreads]: of the tile, that begin before a thread's first key
  const unsigned* begins;  // shared [kScanThreads]: bit k: the thread's key k begins one

  /// The number of runs that begin before the tile's item i.
  __device__ __forceinline__ uint32_t runs_before(int64_t i) const {
    if (i == end - begin) return first_run + runs;
    const int thread = static_cast<int>(i) / kItems;
    const unsigned mask = (1u << (static_cast<int>(i) % kItems)) - 1u;
    return first_run + before[thread] + static_cast<uint32_t>(__popc(begins[thread] & mask));
  }
};

/// A table's runs begin at its first key. Each of these belongs to the tile that has it, or the first key behind it.
__device__ __forceinline__ void find_tables(const Runs& r, const Tile& tile, bool last) {
  const int64_t before = tile.begin == 0 ? -1 : int64_t{r.keys[tile.begin - 1]};
  const int64_t highest = r.keys[tile.end - 1];
  for (int t = static_cast<int>(threadIdx.x); t <= r.tables; t += kScanThreads) {
    const int64_t key = r.first_keys[t];
    if (key <= before || (key > highest && !last)) continue;
    int64_t low = tile.begin, high = tile.end;
    while (low < high) {
      const int64_t middle = (low + high) / 2;
      if (int64_t{r.keys[middle]} < key)
        low = middle + 1;
      else
        high = middle;
    }
    r.table_runs[t] = tile.runs_before(low - tile.begin);
  }
}

__global__ void __launch_bounds__(kScanThreads) runs_kernel(Runs r) {
  TT_SHARED(uint32_t, before, [kScanThreads]);
  TT_SHARED(unsigned, begins, [kScanThreads]);
  TT_SHARED(uint32_t, first_run, );
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t count = r.extent.count(), tiles = tiles_of<kTile>(count);
  for (int64_t tile = next_tile(r.ticket); tile < tiles; tile = next_tile(r.ticket)) {
    const int64_t begin = tile * kTile, first = begin + thread * kItems;
    uint32_t keys[kItems];
#pragma unroll
    for (int k = 0; k < kItems; ++k) keys[k] = first + k < count ? r.keys[first + k] : 0;
    uint32_t previous = first > 0 && first < count ? r.keys[first - 1] : 0;
    unsigned own = 0;
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      const bool differs = first + k == 0 || keys[k] != previous;
      if (first + k < count && differs) own |= 1u << k;
      previous = keys[k];
    }
    uint32_t runs;
    const uint32_t at = block_exclusive_sum(static_cast<uint32_t>(__popc(own)), runs);
    before[thread] = at;
    begins[thread] = own;
    if (thread < 32) {
      if (thread == 0 && tile > 0) tell(r.sums + tile, kTileSum, runs);
      const auto sum = static_cast<uint32_t>(warp_sum_before(r.sums, tile));
      if (thread == 0) {
        tell(r.sums + tile, kSumUpTo, TileWord{sum} + runs);
        first_run = sum;
      }
    }
    __syncthreads();
    uint32_t run = first_run + at;
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      if ((own >> k & 1u) != 0) r.starts[run++] = static_cast<uint32_t>(first + k);
    }
    const bool last = tile == tiles - 1;
    find_tables(r, Tile{begin, min(count, begin + kTile), first_run, runs, before, begins}, last);
    if (last && thread == 0) r.starts[first_run + runs] = static_cast<uint32_t>(count);
  }
  if (tiles > 0 || blockIdx.x > 0) return;
  for (int t = thread; t <= r.tables; t += kScanThreads) r.table_runs[t] = 0;
  if (thread == 0) r.starts[0] = 0;
}

__global__ void __launch_bounds__(kScanThreads)
    counts_kernel(const uint32_t* table_runs, int tables, int64_t* const* counts) {
  const int t = static_cast<int>(blockIdx.x * kScanThreads + threadIdx.x);
  if (t < tables && counts[t] != nullptr) {
    *counts[t] = int64_t{table_runs[t + 1]} - int64_t{table_runs[t]};
  }
}

}  // namespace

SortedLookups find_runs(Context& context, Scope& scope, Zeroed& zeroed, const uint32_t* keys,
                        const uint32_t* bags, const Extent& count, const int64_t* first_keys,
                        int32_t tables, int64_t* const* counts) {
  const int64_t tiles = tiles_of<kTile>(count.most());
  auto* starts = scope.get<uint32_t>(count.most() + 1);
  auto* table_runs = scope.get<uint32_t>(int64_t{tables} + 1);
  auto* words = zeroed.get<TileWord>(1 + tiles);
  const dim3 block(kScanThreads);
  check(TT_LAUNCH(runs_kernel, grid_over(context, tiles), block, 0, context.stream,
                  Runs{keys, count, first_keys, tables, words, words + 1, starts, table_runs}),
        kDoing);
  if (counts != nullptr) {
    check(TT_LAUNCH(counts_kernel, grid_for(tables, kScanThreads), block, 0, context.stream,
                    table_runs, tables, counts),
          kDoing);
  }
  return SortedLookups{keys, bags, starts, table_runs};
}

}  // namespace tt::cuda
