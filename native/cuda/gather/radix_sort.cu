// Least significant digit first. One kernel counts the digits of all passes; then a kernel a pass lets every tile move its
// pairs behind those of smaller digits and of the tiles before it, whose counts it learns while they are at work
// (look_back.h): "Onesweep", Adinets and Merrill, 2022. The result is that of any stable sort.
//
// Why not cub::DeviceRadixSort, which does the same. It wants the number of pairs on the host, and here only the device
// knows it, but for tables whose features all have one value: CUB would sort the bound (histories: n times the longest
// list, mostly several times the true number) or need the count read back, which stops the host in every step. And a
// test without a GPU would not run it.
#include "gather/radix_sort.h"

#include <utility>

#include "gather/look_back.h"
#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = kScanThreads;
constexpr int kWarps = kThreads / 32;
constexpr int kRounds = 8;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kMostPasses = 32 / kDigitBits;
constexpr int kTile = kThreads * kRounds;
constexpr int64_t kCountBlocksPerMultiprocessor = 4;  // each adds its counts to all blocks' ones
constexpr const char* kDoing = "sorting lookups";
static_assert(kDigits == kThreads, "a thread a digit");

/// What all passes share.
struct Sort {
  Extent extent;
  uint32_t* totals;   // [passes, kDigits]: pairs of each digit
  TileWord* tickets;  // [passes]
  TileWord* sums;     // [passes, tiles, digits]
  int passes, digit_bits;

  __device__ __forceinline__ int digits() const { return 1 << digit_bits; }
  __device__ __forceinline__ int digit(uint32_t key, int pass) const {
    return static_cast<int>(key >> (pass * digit_bits) & ((1u << digit_bits) - 1u));
  }
  __device__ __forceinline__ TileWord* sums_of(int pass, int64_t tiles) const {
    return sums + pass * tiles * digits();
  }
};

/// Adds up the digits of all passes, and clears what the passes' tiles will tell each other.
__global__ void __launch_bounds__(kThreads) count_digits_kernel(Sort s, const uint32_t* from) {
  TT_SHARED(uint32_t, counts, [kMostPasses][kDigits]);
  const int64_t count = s.extent.count(), tiles = tiles_of<kTile>(count);
  const int own = static_cast<int>(threadIdx.x);
  for (int p = 0; p < s.passes; ++p) counts[p][own] = 0;
  __syncthreads();
  for (int64_t tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
    uint32_t keys[kRounds];  // all under way at once: no load passes an atomic
#pragma unroll
    for (int r = 0; r < kRounds; ++r) {
      const int64_t i = tile * kTile + r * kThreads + own;
      keys[r] = i < count ? from[i] : 0;
    }
    for (int p = 0; p < s.passes; ++p) {
      if (own < s.digits()) s.sums_of(p, tiles)[tile * s.digits() + own] = 0;
#pragma unroll
      for (int r = 0; r < kRounds; ++r) {
        const bool there = tile * kTile + r * kThreads + own < count;
        if (there) atomicAdd(&counts[p][s.digit(keys[r], p)], 1u);
      }
    }
  }
  __syncthreads();
  for (int p = 0; p < s.passes; ++p) {
    const uint32_t seen = counts[p][own];
    if (seen != 0) atomicAdd(&s.totals[p * kDigits + own], seen);
  }
}

/// One pass.
struct Pass {
  Sort sort;
  KeysAndValues from, to;
  int index;

  __device__ __forceinline__ int digit(uint32_t key) const { return sort.digit(key, index); }
};

/// A block's shared memory.
struct Workplace {
  uint32_t (*counts)
      [kDigits];  // [kWarps]: of digit d: pairs that warp w has seen, then where its first goes in the tile
  uint32_t* keys;    // [kTile]: the tile's pairs, sorted by their digit
  uint32_t* values;  // [kTile]
  uint32_t* shifts;  // [kDigits]: from a pair's place in the tile to its place among all
};

/// The thread's pairs of a tile. Each warp has kRounds * 32 pairs, behind each other.
struct OwnPairs {
  uint32_t keys[kRounds], values[kRounds];
  uint32_t ranks[kRounds];  // among the warp's pairs of the same digit
  int there;                // the warp's pairs that there are
};

__device__ __forceinline__ void load_pairs(const Pass& p, int64_t begin, int64_t count,
                                           OwnPairs& own) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  own.there = static_cast<int>(max(int64_t{0}, min(int64_t{32 * kRounds}, count - begin)));
  // All under way before the first is needed: no load passes what follows.
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    own.keys[r] = r * 32 + lane < own.there ? p.from.keys[begin + r * 32 + lane] : 0;
  }
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    own.values[r] = r * 32 + lane < own.there ? p.from.values[begin + r * 32 + lane] : 0;
  }
}

/// counts [kDigits]: the warp's.
__device__ __forceinline__ void rank_pairs(const Pass& p, OwnPairs& own, uint32_t* counts) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int d = lane; d < kDigits; d += 32) counts[d] = 0;
  __syncwarp();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    own.ranks[r] = 0;
    if (r * 32 >= own.there) continue;  // the same for the whole warp
    const bool there = r * 32 + lane < own.there;
    const int digit = there ? p.digit(own.keys[r]) : kDigits;
    const unsigned peers = __match_any_sync(0xFFFFFFFFu, digit);
    const auto before = static_cast<uint32_t>(__popc(peers & ((1u << lane) - 1u)));
    const uint32_t seen = there ? counts[digit] : 0;
    own.ranks[r] = seen + before;
    __syncwarp();
    if (there && before == 0) counts[digit] = seen + static_cast<uint32_t>(__popc(peers));
    __syncwarp();
  }
}

/// A thread a digit: where its pairs go. first: of all pairs with the digit.
__device__ __forceinline__ void place_digits(const Pass& p, int64_t tile, int64_t tiles,
                                             uint32_t first, const Workplace& place) {
  const int own = static_cast<int>(threadIdx.x), digits = p.sort.digits();
  TileWord* sums = p.sort.sums_of(p.index, tiles) + own;
  uint32_t tile_count = 0;
  for (int w = 0; w < kWarps; ++w) tile_count += place.counts[w][own];
  if (own < digits) tell(sums + tile * digits, tile > 0 ? kTileSum : kSumUpTo, tile_count);
  uint32_t all;
  const uint32_t in_tile = block_exclusive_sum(tile_count, all);
  uint32_t at = in_tile;
  for (int w = 0; w < kWarps; ++w) {
    const uint32_t seen = place.counts[w][own];
    place.counts[w][own] = at;
    at += seen;
  }
  if (own >= digits) return;
  const TileWord before = sum_before(sums, tile, digits);
  if (tile > 0) tell(sums + tile * digits, kSumUpTo, before + tile_count);
  place.shifts[own] = first + static_cast<uint32_t>(before) - in_tile;  // modulo 2^32
}

/// By way of shared memory, so that pairs of a digit are written behind each other.
__device__ __forceinline__ void move_pairs(const Pass& p, int tile_count, const OwnPairs& own,
                                           const Workplace& place) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  const uint32_t* firsts = place.counts[thread / 32];
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    if (r * 32 + lane >= own.there) continue;
    const uint32_t to = firsts[p.digit(own.keys[r])] + own.ranks[r];
    place.keys[to] = own.keys[r];
    place.values[to] = own.values[r];
  }
  __syncthreads();
#pragma unroll
  for (int r = 0; r < kRounds; ++r) {
    const int i = r * kThreads + thread;
    if (i >= tile_count) continue;
    const uint32_t key = place.keys[i];
    const uint32_t to = place.shifts[p.digit(key)] + static_cast<uint32_t>(i);
    p.to.keys[to] = key;
    p.to.values[to] = place.values[i];
  }
}

__global__ void __launch_bounds__(kThreads, 3) move_kernel(Pass p) {
  TT_SHARED(uint32_t, counts, [kWarps][kDigits]);
  TT_SHARED(uint32_t, keys, [kTile]);
  TT_SHARED(uint32_t, values, [kTile]);
  TT_SHARED(uint32_t, shifts, [kDigits]);
  const Workplace place{counts, keys, values, shifts};
  const int64_t count = p.sort.extent.count(), tiles = tiles_of<kTile>(count);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  uint32_t all;
  const uint32_t first =  // of all pairs with the thread's digit
      block_exclusive_sum(p.sort.totals[p.index * kDigits + thread], all);
  TileWord* ticket = p.sort.tickets + p.index;
  for (int64_t tile = next_tile(ticket); tile < tiles; tile = next_tile(ticket)) {
    OwnPairs own;
    load_pairs(p, tile * kTile + int64_t{warp} * (32 * kRounds), count, own);
    rank_pairs(p, own, counts[warp]);
    __syncthreads();
    place_digits(p, tile, tiles, first, place);
    __syncthreads();
    move_pairs(p, static_cast<int>(min(int64_t{kTile}, count - tile * kTile)), own, place);
    __syncthreads();  // before the next tile's counts
  }
}

}  // namespace

KeysAndValues radix_sort(Context& context, Scope& scope, Zeroed& zeroed, KeysAndValues pairs,
                         KeysAndValues spare, const Extent& count, int bits) {
  if (count.most() < 2 || bits == 0) return pairs;
  const int64_t tiles = tiles_of<kTile>(count.most());
  const int passes = (bits + kDigitBits - 1) / kDigitBits;
  const int digit_bits = (bits + passes - 1) / passes;
  const Sort sort{count,
                  zeroed.get<uint32_t>(int64_t{passes} * kDigits),
                  zeroed.get<TileWord>(passes),
                  scope.get<TileWord>(passes * tiles << digit_bits),
                  passes,
                  digit_bits};
  const dim3 grid = grid_over(context, tiles), block(kThreads);
  const auto most_counting =
      static_cast<unsigned>(kCountBlocksPerMultiprocessor * context.device.multiprocessors);
  check(TT_LAUNCH(count_digits_kernel, dim3(std::min(grid.x, most_counting)), block, 0,
                  context.stream, sort, pairs.keys),
        kDoing);
  for (int pass = 0; pass < passes; ++pass) {
    check(TT_LAUNCH(move_kernel, grid, block, 0, context.stream, Pass{sort, pairs, spare, pass}),
          kDoing);
    std::swap(pairs, spare);
  }
  return pairs;
}

}  // namespace tt::cuda
