// Least significant digit first. Each pass counts the digits of every tile, sums the counts (digits first,
// then tiles), and lets every tile move its pairs behind those of the tiles before it.
//
// Why not cub::DeviceRadixSort. It wants the number of pairs on the host, and here only the device knows it, but for tables
// whose features all have one value: CUB would sort the bound (histories: n times the longest list, mostly several
// times the true number) or need the count read back, which stops the host in every step. Where the bound is exact,
// count bytes: here 20 a pair and pass (keys read twice, values once, both written), CUB's one sweep 16 and 4 for its
// histogram: 52 for 60 in the three passes of 2^23 keys, about 1 us for 655,000 lookups on an H200. What CUB saves
// besides are two to four launches a pass, which a captured graph hides. That is not worth a second path, which no test
// without a GPU would run.
#include "gather/radix_sort.h"

#include <utility>

#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRounds = 16;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int64_t kTile = kThreads * kRounds;
static_assert(kDigits == kThreads, "a thread a digit");

struct Pass {
  KeysAndValues from, to;
  Extent extent;
  uint32_t* offsets;  // [digits, tiles]
  int shift, digits;
};

__device__ __forceinline__ int digit_of(uint32_t key, const Pass& p) {
  return static_cast<int>(key >> p.shift & static_cast<uint32_t>(p.digits - 1));
}

__global__ void __launch_bounds__(kThreads) count_digits_kernel(Pass p) {
  TT_SHARED(uint32_t, counts, [kDigits]);
  const int64_t count = p.extent.count(), tiles = p.extent.tiles(kTile).count();
  const int own = static_cast<int>(threadIdx.x);
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    counts[own] = 0;         // which only this thread has read
    uint32_t keys[kRounds];  // all under way at once: no load passes an atomic
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const int64_t i = tile * kTile + r * kThreads + own;
      keys[r] = i < count ? p.from.keys[i] : 0;
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      if (tile * kTile + r * kThreads + own < count) atomicAdd(&counts[digit_of(keys[r], p)], 1u);
    }
    __syncthreads();
    if (own < p.digits) p.offsets[own * tiles + tile] = counts[own];
  }
}

// Each warp has kRounds * 32 pairs of the tile, behind each other; counts[w][d] is first the number of pairs
// of digit d that warp w has seen, then where its first one goes.
__device__ __forceinline__ void move_tile(const Pass& p, int64_t count, int64_t tile,
                                          int64_t tiles) {
  TT_SHARED(uint32_t, counts, [kWarps][kDigits]);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int d = lane; d < kDigits; d += 32) counts[warp][d] = 0;
  __syncwarp();

  const int64_t begin = tile * kTile + int64_t{warp} * (32 * kRounds);
  uint32_t keys[kRounds], values[kRounds];
  uint32_t ranks[kRounds];  // among the warp's pairs of the same digit
  // All under way before the first is needed: no load passes what follows.
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = begin + r * 32 + lane;
    keys[r] = i < count ? p.from.keys[i] : 0;
  }
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = begin + r * 32 + lane;
    values[r] = i < count ? p.from.values[i] : 0;
  }
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    ranks[r] = 0;
    if (begin + r * 32 >= count) continue;  // the same for the whole warp
    const bool there = begin + r * 32 + lane < count;
    const int digit = there ? digit_of(keys[r], p) : kDigits;
    const unsigned peers = __match_any_sync(0xFFFFFFFFu, digit);
    const auto before = static_cast<uint32_t>(__popc(peers & ((1u << lane) - 1u)));
    const uint32_t seen = there ? counts[warp][digit] : 0;
    ranks[r] = seen + before;
    __syncwarp();
    if (there && before == 0) counts[warp][digit] = seen + static_cast<uint32_t>(__popc(peers));
    __syncwarp();
  }
  __syncthreads();
  const int own = static_cast<int>(threadIdx.x);
  if (own < p.digits) {
    uint32_t at = p.offsets[own * tiles + tile];
    for (int w = 0; w < kWarps; ++w) {
      const uint32_t seen = counts[w][own];
      counts[w][own] = at;
      at += seen;
    }
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int64_t i = begin + r * 32 + lane;
    if (i >= count) continue;
    const uint32_t to = counts[warp][digit_of(keys[r], p)] + ranks[r];
    p.to.keys[to] = keys[r];
    p.to.values[to] = values[r];
  }
  __syncwarp();  // before the next tile's counts
}

__global__ void __launch_bounds__(kThreads) move_kernel(Pass p) {
  const int64_t count = p.extent.count(), tiles = p.extent.tiles(kTile).count();
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) move_tile(p, count, tile, tiles);
}

}  // namespace

KeysAndValues radix_sort(Context& context, Scope& scope, KeysAndValues pairs, KeysAndValues spare,
                         const Extent& count, int bits) {
  if (count.most() < 2 || bits == 0) return pairs;
  const Extent tiles = count.tiles(kTile);
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  const int digit_bits = (bits + passes - 1) / passes;
  const int digits = 1 << digit_bits;
  auto* offsets = scope.get<uint32_t>(digits * tiles.most());
  auto* total = scope.get<uint32_t>(1);
  const dim3 grid = grid_over(context, tiles), block(kThreads);
  for (int pass = 0; pass < passes; ++pass) {
    const Pass p{pairs, spare, count, offsets, pass * digit_bits, digits};
    check(TT_LAUNCH(count_digits_kernel, grid, block, 0, context.stream, p), "sorting lookups");
    exclusive_scan(context, scope, offsets, tiles.times(digits), total);
    check(TT_LAUNCH(move_kernel, grid, block, 0, context.stream, p), "sorting lookups");
    std::swap(pairs, spare);
  }
  return pairs;
}

}  // namespace tt::cuda
