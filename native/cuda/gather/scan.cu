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
    tile_sums_kernel(const T* items, int64_t count, T* sums) {
  T own[kItems];
  const int64_t begin = blockIdx.x * kTile + int64_t{threadIdx.x} * kItems;
  T total;
  block_exclusive_sum(load_items(items, begin, count, own), total);
  if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

// Each block scans its tile behind before[block]. before NULL: one block goes over all tiles.
template <class T>
__global__ void __launch_bounds__(kScanThreads)
    scan_kernel(T* items, int64_t count, const T* before, T* total) {
  T sum = before != nullptr ? before[blockIdx.x] : T{0};
  const int64_t end = before != nullptr ? blockIdx.x * kTile + 1 : count;
  for (int64_t tile = blockIdx.x * kTile; tile < end; tile += kTile) {
    const int64_t begin = tile + int64_t{threadIdx.x} * kItems;
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
void exclusive_scan(Context& context, Scope& scope, T* items, int64_t count, T* total) {
  const dim3 block(kScanThreads);
  if (count <= kOneBlock) {
    check(
        TT_LAUNCH(scan_kernel<T>, dim3(1), block, 0, context.stream, items, count, nullptr, total),
        "prefix sums");
    return;
  }
  const int64_t tiles = (count + kTile - 1) / kTile;
  auto* sums = scope.get<T>(tiles);
  const dim3 grid(static_cast<unsigned>(tiles));
  check(TT_LAUNCH(tile_sums_kernel<T>, grid, block, 0, context.stream, items, count, sums),
        "prefix sums");
  exclusive_scan(context, scope, sums, tiles, total);
  check(TT_LAUNCH(scan_kernel<T>, grid, block, 0, context.stream, items, count, sums, nullptr),
        "prefix sums");
}

template void exclusive_scan(Context&, Scope&, uint32_t*, int64_t, uint32_t*);
template void exclusive_scan(Context&, Scope&, int64_t*, int64_t, int64_t*);

}  // namespace tt::cuda
