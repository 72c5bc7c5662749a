#include "gather/runs.h"

#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kItems = 8;
constexpr int64_t kTile = kScanThreads * kItems;

__device__ __forceinline__ bool begins_run(const uint32_t* keys, int64_t i) {
  return i == 0 || keys[i] != keys[i - 1];
}

__global__ void __launch_bounds__(kScanThreads)
    count_runs_kernel(const uint32_t* keys, Extent extent, uint32_t* runs) {
  const int64_t count = extent.count();
  for (int64_t tile = blockIdx.x; tile * kTile < count; tile += gridDim.x) {
    uint32_t own = 0;
    for (int k = 0; k < kItems; ++k) {
      const int64_t i = tile * kTile + k * kScanThreads + static_cast<int>(threadIdx.x);
      if (i < count && begins_run(keys, i)) ++own;
    }
    uint32_t total;
    block_exclusive_sum(own, total);
    if (threadIdx.x == 0) runs[tile] = total;
  }
}

// runs: of the tiles before each; *all_runs: of all.
__global__ void __launch_bounds__(kScanThreads)
    write_runs_kernel(const uint32_t* keys, Extent extent, const uint32_t* runs,
                      const uint32_t* all_runs, uint32_t* starts) {
  const int64_t count = extent.count();
  for (int64_t tile = blockIdx.x; tile * kTile < count; tile += gridDim.x) {
    uint32_t at = runs[tile];
    for (int k = 0; k < kItems; ++k) {
      const int64_t i = tile * kTile + k * kScanThreads + static_cast<int>(threadIdx.x);
      const bool begins = i < count && begins_run(keys, i);
      uint32_t total;
      const uint32_t before = block_exclusive_sum(begins ? 1u : 0u, total);
      if (begins) starts[at + before] = static_cast<uint32_t>(i);
      at += total;
    }
  }
  if (blockIdx.x == 0 && threadIdx.x == 0) starts[*all_runs] = static_cast<uint32_t>(count);
}

/// The first run whose key is at least `key`.
__device__ __forceinline__ uint32_t first_run_from(const uint32_t* keys, const uint32_t* starts,
                                                   uint32_t runs, int64_t key) {
  uint32_t low = 0, high = runs;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (int64_t{keys[starts[middle]]} < key) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

__global__ void __launch_bounds__(kScanThreads)
    table_runs_kernel(const uint32_t* keys, const uint32_t* starts, const uint32_t* runs,
                      const int64_t* first_keys, int tables, uint32_t* table_runs,
                      int64_t* const* counts) {
  const int t = static_cast<int>(blockIdx.x * kScanThreads + threadIdx.x);
  if (t > tables) return;
  const uint32_t first = first_run_from(keys, starts, *runs, first_keys[t]);
  table_runs[t] = first;
  if (t == tables || counts == nullptr || counts[t] == nullptr) return;
  *counts[t] = int64_t{first_run_from(keys, starts, *runs, first_keys[t + 1])} - first;
}

}  // namespace

SortedLookups find_runs(Context& context, Scope& scope, const uint32_t* keys, const uint32_t* bags,
                        const Extent& count, const int64_t* first_keys, int32_t tables,
                        int64_t* const* counts) {
  constexpr const char* kDoing = "finding runs of lookups";
  const Extent tiles = count.tiles(kTile);
  auto* runs = scope.get<uint32_t>(tiles.most());
  auto* all_runs = scope.get<uint32_t>(1);
  auto* starts = scope.get<uint32_t>(count.most() + 1);
  auto* table_runs = scope.get<uint32_t>(int64_t{tables} + 1);
  const dim3 grid = grid_over(context, tiles), block(kScanThreads);
  const bool any = tiles.most() > 0;
  if (any) {
    check(TT_LAUNCH(count_runs_kernel, grid, block, 0, context.stream, keys, count, runs), kDoing);
  }
  exclusive_scan(context, scope, runs, tiles, all_runs);
  if (any) {
    check(TT_LAUNCH(write_runs_kernel, grid, block, 0, context.stream, keys, count, runs, all_runs,
                    starts),
          kDoing);
  }
  check(TT_LAUNCH(table_runs_kernel, grid_for(int64_t{tables} + 1, kScanThreads), block, 0,
                  context.stream, keys, starts, all_runs, first_keys, tables, table_runs, counts),
        kDoing);
  return SortedLookups{keys, bags, starts, table_runs};
}

}  // namespace tt::cuda
