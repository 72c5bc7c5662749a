// tt_rank: how many items come before each target. A block scores 64 queries with a slice of the items, tile by tile, and
// counts; exclusions that were counted are taken off at the end.
#include <algorithm>

#include "context.h"
#include "retrieval/plan.h"
#include "retrieval/retrieval.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = ScoreProduct::kThreads, kWarps = kThreads / 32;
constexpr int64_t kLeastSliceItems = 1024;
constexpr int64_t kExtraTiles = 1;  // that a block's begin and end take as long as
constexpr int kSharedCounts = 256;  // of a block's first targets; the others count in global memory
constexpr int kManyTargets = 24;    // of one query
constexpr int kStride = kTileItems + kTilePadding;

/// Lists of items, one for each query, with a key for each item.
struct KeyedLists {
  const int64_t* offsets;  // [n + 1]
  const int32_t* items;
  RankKey* keys;
};

/// A warp a query. once: a list is ascending, and of equal items all but one get the key 0, which is before nothing.
__global__ void __launch_bounds__(kThreads)
    keys_kernel(Sides sides, int64_t n, KeyedLists lists, bool once) {
  const int64_t query = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (query >= n) return;
  const int64_t begin = lists.offsets[query], end = lists.offsets[query + 1];
  for (int64_t i = begin + threadIdx.x % 32; i < end; i += 32) {
    const int32_t item = lists.items[i];
    const bool again = once && i > begin && lists.items[i - 1] == item;
    lists.keys[i] = again ? 0 : rank_key(sides.score(query, item), item);
  }
}

struct ScanJob {
  Sides sides;
  KeyedLists targets;
  unsigned* before;  // [targets]: items that come before, excluded ones too
  int64_t slice_items;
};

__device__ __forceinline__ RankKey key_of(uint32_t score, int64_t id) {
  return static_cast<RankKey>(score) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(id));
}

/// A block's targets and what was counted for them.
struct Tally {
  const int64_t* offsets;  // shared [kTileQueries + 1]
  unsigned* counts;        // shared [kSharedCounts]
  unsigned* before;        // all targets'

  /// By one thread at a time for one target: only one warp has a query's targets.
  __device__ __forceinline__ void add(int64_t target, int count) const {
    if (count == 0) return;
    const int64_t place = target - offsets[0];
    if (place < kSharedCounts)
      counts[place] += static_cast<unsigned>(count);
    else
      atomicAdd(before + target, static_cast<unsigned>(count));
  }
};

/// The warp's lanes share the items, for one target after the other. scores: [kTileItems], of one query.
__device__ __forceinline__ void count_few(const RankKey* targets, int64_t begin, int64_t end,
                                          const uint32_t* scores, int64_t item, int items,
                                          const Tally& tally) {
  constexpr int kLaneItems = kTileItems / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  RankKey keys[kLaneItems];
#pragma unroll
  for (int i = 0; i < kLaneItems; ++i) {
    const int at = lane + 32 * i;
    keys[i] = at < items ? key_of(scores[at], item + at) : 0;
  }
  for (int64_t t = begin; t < end; ++t) {
    const RankKey own = targets[t];
    int count = 0;
#pragma unroll
    for (int i = 0; i < kLaneItems; ++i) {
      count += __popc(__ballot_sync(0xFFFFFFFFu, keys[i] > own));
    }
    if (lane == 0) tally.add(t, count);
  }
}

/// The warp's lanes share the targets.
__device__ __forceinline__ void count_many(const RankKey* targets, int64_t begin, int64_t end,
                                           const uint32_t* scores, int64_t item, int items,
                                           const Tally& tally) {
  for (int64_t t = begin + threadIdx.x % 32; t < end; t += 32) {
    const RankKey own = targets[t];
    int count = 0;
    for (int i = 0; i < items; ++i) count += key_of(scores[i], item + i) > own ? 1 : 0;
    tally.add(t, count);
  }
}

/// A warp a query.
__device__ __forceinline__ void count_before(const ScanJob& job, const uint32_t* scores,
                                             int64_t item, const Tally& tally) {
  const int items = static_cast<int>(min(int64_t{kTileItems}, job.sides.items.matrix.rows - item));
  for (int q = static_cast<int>(threadIdx.x) / 32; q < kTileQueries; q += kWarps) {
    const int64_t begin = tally.offsets[q], end = tally.offsets[q + 1];
    const uint32_t* own = scores + q * kStride;
    if (end - begin < kManyTargets)
      count_few(job.targets.keys, begin, end, own, item, items, tally);
    else
      count_many(job.targets.keys, begin, end, own, item, items, tally);
  }
}

/// The targets of a block whose queries have one at most, none of a score that is NaN: scores are counted as they are, in
/// registers.
struct Singles {
  float from
      [kTileQueries];  // scores from here on come before the target where the id is lower; NaN: no target
  float above[kTileQueries];  // and from here on where it is not
  int32_t ids[kTileQueries];
};

/// Whether the block's queries are such; by all of its threads.
__device__ __forceinline__ bool make_singles(const RankKey* keys, const int64_t* offsets,
                                             Singles& singles) {
  bool single = true;
  for (int q = static_cast<int>(threadIdx.x); q < kTileQueries; q += kThreads) {
    const int64_t count = offsets[q + 1] - offsets[q];
    const RankKey key = count == 1 ? keys[offsets[q]] : 0;
    single = single && (count == 0 || (count == 1 && key >> 32 != 0));
    singles.from[q] = key_score(key);
    singles.above[q] = key_score(key != 0 ? key + (RankKey{1} << 32) : 0);  // the next larger
    singles.ids[q] = key_id(key);
  }
  return __syncthreads_and(single) != 0;
}

/// Adds to counts[i] the thread's scores of its i-th query that come before the target.
__device__ __forceinline__ void count_singles(const Singles& singles, int64_t item, int64_t m,
                                              const float (&sums)[kThreadTile][kThreadTile],
                                              int (&counts)[kThreadTile]) {
  const bool last = item + kTileItems > m;
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
    const int q = ScoreProduct::row_of(i);
    const float from = singles.from[q], above = singles.above[q];
    const int64_t id = singles.ids[q];
    if (last || (item <= id && id < item + kTileItems)) {
#pragma unroll
      for (int j = 0; j < kThreadTile; ++j) {
        const int64_t at = item + ScoreProduct::column_of(j);
        counts[i] += at < m && sums[i][j] >= (at < id ? from : above) ? 1 : 0;
      }
      continue;
    }
    const float least = item < id ? from : above;
#pragma unroll
    for (int j = 0; j < kThreadTile; ++j) counts[i] += sums[i][j] >= least ? 1 : 0;
  }
}

/// To shared memory, as numbers that can be compared.
__device__ __forceinline__ void put_scores(const float (&sums)[kThreadTile][kThreadTile],
                                           uint32_t* scores) {
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
#pragma unroll
    for (int half = 0; half < kThreadTile; half += 4) {
      uint4 four;
      four.x = ordered(sums[i][half]);
      four.y = ordered(sums[i][half + 1]);
      four.z = ordered(sums[i][half + 2]);
      four.w = ordered(sums[i][half + 3]);
      uint32_t* to = scores + ScoreProduct::row_of(i) * kStride + ScoreProduct::column_of(half);
      *reinterpret_cast<uint4*>(to) = four;
    }
  }
}

template <bool kWhole>
__global__ void __launch_bounds__(kThreads) scan_kernel(ScanJob job) {
  TT_SHARED(float, shared, [ScoreProduct::kSharedFloats]);
  TT_SHARED(uint32_t, scores, [kTileQueries * kStride]);
  TT_SHARED(int64_t, offsets, [kTileQueries + 1]);
  TT_SHARED(unsigned, counts, [kSharedCounts]);
  TT_SHARED(Singles, singles, );
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t n = job.sides.queries.matrix.rows, m = job.sides.items.matrix.rows;
  const int64_t query = static_cast<int64_t>(blockIdx.x) * kTileQueries;
  for (int q = thread; q <= kTileQueries; q += kThreads) {
    offsets[q] = job.targets.offsets[min(n, query + q)];
  }
  for (int i = thread; i < kSharedCounts; i += kThreads) counts[i] = 0;
  __syncthreads();
  const int64_t total = offsets[kTileQueries] - offsets[0];
  const bool single = make_singles(job.targets.keys, offsets, singles);
  int own[kThreadTile] = {};
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * job.slice_items;
  const int64_t end = total == 0 ? begin : min(m, begin + job.slice_items);
  Tiles<kWhole> tiles(job.sides, query, begin, shared);
  for (int64_t item = begin; item < end; item += kTileItems) {
    float sums[kThreadTile][kThreadTile];
    tiles.next(sums);
    if (single) {
      count_singles(singles, item, m, sums, own);
      continue;
    }
    put_scores(sums, scores);
    __syncthreads();
    count_before(job, scores, item, Tally{offsets, counts, job.before});
    // The next tile has a barrier before its scores.
  }
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
    const int64_t place = offsets[ScoreProduct::row_of(i)] - offsets[0];
    if (own[i] != 0) atomicAdd(&counts[place], static_cast<unsigned>(own[i]));
  }
  __syncthreads();
  for (int i = thread; i < kSharedCounts && i < total; i += kThreads) {
    if (counts[i] != 0) atomicAdd(job.before + offsets[0] + i, counts[i]);
  }
}

/// A warp a query.
__global__ void __launch_bounds__(kThreads)
    finish_kernel(int64_t n, KeyedLists targets, KeyedLists excluded, const unsigned* before,
                  int32_t* ranks) {
  const int64_t query = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (query >= n) return;
  const int64_t end = targets.offsets[query + 1];
  const int64_t first = excluded.offsets != nullptr ? excluded.offsets[query] : 0;
  const int64_t last = excluded.offsets != nullptr ? excluded.offsets[query + 1] : 0;
  for (int64_t t = targets.offsets[query] + threadIdx.x % 32; t < end; t += 32) {
    const RankKey own = targets.keys[t];
    const int32_t item = targets.items[t];
    unsigned gone = 0;
    bool out = false;
    for (int64_t e = first; e < last; ++e) {
      gone += excluded.keys[e] > own ? 1u : 0u;
      out = out || excluded.items[e] == item;
    }
    ranks[t] = out ? -1 : static_cast<int32_t>(before[t] - gone) + 1;
  }
}

KeyedLists make_keys(Context& context, Scope& scope, const Sides& sides, const int64_t* offsets,
                     const int32_t* items, int64_t total, bool once) {
  if (offsets == nullptr) return KeyedLists{nullptr, nullptr, nullptr};
  const KeyedLists lists{offsets, items, scope.get<RankKey>(total)};
  const int64_t n = sides.queries.matrix.rows;
  check(TT_LAUNCH(keys_kernel, grid_for(32 * n, kThreads), dim3(kThreads), 0, context.stream, sides,
                  n, lists, once),
        "rank");
  return lists;
}

/// before [targets], zero before.
template <bool kWhole>
void scan(Context& context, const Sides& sides, const KeyedLists& targets, unsigned* before) {
  const int64_t n = sides.queries.matrix.rows, m = sides.items.matrix.rows;
  const int64_t resident = resident_blocks(
      context.device, reinterpret_cast<const void*>(&scan_kernel<kWhole>), kThreads);
  const int64_t query_blocks = ceil_divide(n, kTileQueries);
  const CutLimits limits{std::min<int64_t>(m / kLeastSliceItems, 65535), resident, kExtraTiles};
  const Cut cut = cut_items(query_blocks, ceil_divide(m, kTileItems), limits);
  const dim3 grid(static_cast<unsigned>(query_blocks), static_cast<unsigned>(cut.slices));
  check(TT_LAUNCH((scan_kernel<kWhole>), grid, dim3(kThreads), 0, context.stream,
                  ScanJob{sides, targets, before, cut.tiles * kTileItems}),
        "rank");
}

}  // namespace

void rank(Context& context, const tt_retrieval_args* args, const int64_t* target_offsets,
          const int32_t* targets, int32_t* ranks) {
  const int64_t n = args->n;
  int64_t total = 0;
  read(context, target_offsets + n, 1, &total, "rank");
  if (total == 0) return;
  Scope scope(context.workspace);
  const Sides sides = make_sides(context, scope, *args);
  const Exclusions exclusions = make_exclusions(context, scope, *args);
  const KeyedLists wanted = make_keys(context, scope, sides, target_offsets, targets, total, false);
  const KeyedLists excluded = make_keys(context, scope, sides, exclusions.offsets, exclusions.items,
                                        exclusions.total, true);
  auto* before = scope.get<unsigned>(total);
  check(cudaMemsetAsync(before, 0, static_cast<size_t>(total) * sizeof(unsigned), context.stream),
        "rank");
  if (sides.whole())
    scan<true>(context, sides, wanted, before);
  else
    scan<false>(context, sides, wanted, before);
  check(TT_LAUNCH(finish_kernel, grid_for(32 * n, kThreads), dim3(kThreads), 0, context.stream, n,
                  wanted, excluded, before, ranks),
        "rank");
}

}  // namespace tt::cuda
