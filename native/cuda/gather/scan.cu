#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kItems = 8;  // of a thread, behind each other
constexpr int64_t kTile = kScanThreads * kItems;
constexpr int64_t kOneBlock = 4 * kTile;  // up to here one block does it all

template <class T>
__device__ __forceinline__ T load_items(const T* items, int64_t begin, int64_t count,
                                        T (&own)[kItems]) {
  T sum = 0;
#pragma unroll
  for (int k = 0; k < kItems; ++k) {
    own[k] = begin + k < count ? items[begin + k] : T{0};
    sum += own[k];
  }
  return sum;
}

template <class T>
__global__ void __launch_bounds__(kScanThreads)
    tile_sums_kernel(const T* items, Extent extent, T* sums) {
  const int64_t count = extent.count();
  for (int64_t tile = blockIdx.x; tile * kTile < count; tile += gridDim.x) {
    T own[kItems], total;
    const int64_t begin = tile * kTile + int64_t{threadIdx.x} * kItems;
    block_exclusive_sum(load_items(items, begin, count, own), total);
    if (threadIdx.x == 0) sums[tile] = total;
  }
}

// Each tile is scanned behind before[tile]. before NULL: the one block carries the sum from tile to tile.
template <class T>
__global__ void __launch_bounds__(kScanThreads)
    scan_kernel(T* items, Extent extent, const T* before, T* total) {
  const int64_t count = extent.count();
  T sum = 0;
  for (int64_t tile = blockIdx.x; tile * kTile < count; tile += gridDim.x) {
    if (before != nullptr) sum = before[tile];
    const int64_t begin = tile * kTile + int64_t{threadIdx.x} * kItems;
    T own[kItems], tile_total;
    T at = sum + block_exclusive_sum(load_items(items, begin, count, own), tile_total);
#pragma unroll
    for (int k = 0; k < kItems; ++k) {
      if (begin + k < count) items[begin + k] = at;
      at += own[k];
    }
    sum += tile_total;
  }
  if (before == nullptr && threadIdx.x == 0) *total = sum;
}

}  // namespace

template <class T>
void exclusive_scan(Context& context, Scope& scope, T* items, const Extent& count, T* total) {
  const dim3 block(kScanThreads);
  if (count.most() <= kOneBlock) {
    check(
        TT_LAUNCH(scan_kernel<T>, dim3(1), block, 0, context.stream, items, count, nullptr, total),
        "prefix sums");
    return;
  }
  const Extent tiles = count.tiles(kTile);
  auto* sums = scope.get<T>(tiles.most());
  const dim3 grid = grid_over(context, tiles);
  check(TT_LAUNCH(tile_sums_kernel<T>, grid, block, 0, context.stream, items, count, sums),
        "prefix sums");
  exclusive_scan(context, scope, sums, tiles, total);
  check(TT_LAUNCH(scan_kernel<T>, grid, block, 0, context.stream, items, count, sums, nullptr),
        "prefix sums");
}

template void exclusive_scan(Context&, Scope&, uint32_t*, const Extent&, uint32_t*);
template void exclusive_scan(Context&, Scope&, int64_t*, const Extent&, int64_t*);

}  // namespace tt::cuda
