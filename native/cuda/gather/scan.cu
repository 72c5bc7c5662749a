#include "gather/scan.h"

#include "gather/look_back.h"

namespace tt::cuda {
namespace {

constexpr int kItems = 8;  // of a thread, behind each other
constexpr int kTile = kScanThreads * kItems;

/// words: the ticket, then a word a tile.
__global__ void __launch_bounds__(kScanThreads)
    scan_kernel(int64_t* items, Extent extent, TileWord* words, int64_t* total) {
  TT_SHARED(int64_t, before, );
  const int64_t count = extent.count(), tiles = tiles_of<kTile>(count);
  TileWord* sums = words + 1;
  for (int64_t tile = next_tile(words); tile < tiles; tile = next_tile(words)) {
    const int64_t begin = tile * kTile + int64_t{threadIdx.x} * kItems;
    int64_t own[kItems], sum = 0, tile_sum;
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      own[k] = begin + k < count ? items[begin + k] : 0;
      sum += own[k];
    }
    int64_t at = block_exclusive_sum(sum, tile_sum);
    if (threadIdx.x < 32) {
      if (threadIdx.x == 0 && tile > 0)
        tell(sums + tile, kTileSum, static_cast<TileWord>(tile_sum));
      const auto first = static_cast<int64_t>(warp_sum_before(sums, tile));
      if (threadIdx.x == 0) {
        tell(sums + tile, kSumUpTo, static_cast<TileWord>(first + tile_sum));
        before = first;
        if (tile == tiles - 1) *total = first + tile_sum;
      }
    }
    __syncthreads();
    at += before;
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      if (begin + k < count) items[begin + k] = at;
      at += own[k];
    }
  }
  if (tiles == 0 && blockIdx.x == 0 && threadIdx.x == 0) *total = 0;
}

}  // namespace

void exclusive_scan(Context& context, Zeroed& zeroed, int64_t* items, const Extent& count,
                    int64_t* total) {
  const int64_t tiles = tiles_of<kTile>(count.most());
  auto* words = zeroed.get<TileWord>(1 + tiles);
  check(TT_LAUNCH(scan_kernel, grid_over(context, tiles), dim3(kScanThreads), 0, context.stream,
                  items, count, words, total),
        "prefix sums");
}

}  // namespace tt::cuda
