// tt_rank: how many items come before each target. A block scores 64 queries with a slice of the items, tile by tile, and
// counts; exclusions that were counted are taken off at the end.
#include <algorithm>

#include "context.h"
#include "retrieval/retrieval.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = Scores::kThreads, kWarps = kThreads / 32;
constexpr int64_t kLeastSliceItems = 1024;
constexpr int64_t kBlocksPerMultiprocessor = 4;
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

__global__ void __launch_bounds__(kThreads) scan_kernel(ScanJob job) {
  TT_SHARED(float, shared, [Scores::kSharedFloats]);
  TT_SHARED(uint32_t, scores, [kTileQueries * kStride]);
  TT_SHARED(int64_t, offsets, [kTileQueries + 1]);
  TT_SHARED(unsigned, counts, [kSharedCounts]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t n = job.sides.queries.matrix.rows, m = job.sides.items.matrix.rows;
  const int64_t query = static_cast<int64_t>(blockIdx.x) * kTileQueries;
  for (int q = thread; q <= kTileQueries; q += kThreads) {
    offsets[q] = job.targets.offsets[min(n, query + q)];
  }
  for (int i = thread; i < kSharedCounts; i += kThreads) counts[i] = 0;
  __syncthreads();
  const int64_t total = offsets[kTileQueries] - offsets[0];
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * job.slice_items;
  const int64_t end = total == 0 ? begin : min(m, begin + job.slice_items);
  for (int64_t item = begin; item < end; item += kTileItems) {
    float sums[kThreadTile][kThreadTile];
    Scores::run(job.sides.queries, job.sides.items, query, item, 0, job.sides.queries.matrix.depth,
                shared, sums);
#pragma unroll
    for (int i = 0; i < kThreadTile; ++i) {
#pragma unroll
      for (int half = 0; half < kThreadTile; half += 4) {
        uint4 four;
        four.x = ordered(sums[i][half]);
        four.y = ordered(sums[i][half + 1]);
        four.z = ordered(sums[i][half + 2]);
        four.w = ordered(sums[i][half + 3]);
        uint32_t* to = scores + Scores::row_of(i) * kStride + Scores::column_of(half);
        *reinterpret_cast<uint4*>(to) = four;
      }
    }
    __syncthreads();
    count_before(job, scores, item, Tally{offsets, counts, job.before});
    // The product's first barrier comes before the next scores.
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

int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
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

}  // namespace

void rank(Context& context, const tt_retrieval_args* args, const int64_t* target_offsets,
          const int32_t* targets, int32_t* ranks) {
  const int64_t n = args->n, m = args->m;
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
  const int64_t query_blocks = ceil_divide(n, kTileQueries);
  const int64_t most_slices = std::clamp(m / kLeastSliceItems, int64_t{1}, int64_t{65535});
  const int64_t slices =
      std::clamp(kBlocksPerMultiprocessor * context.device.multiprocessors / query_blocks,
                 int64_t{1}, most_slices);
  const int64_t slice_items = ceil_divide(ceil_divide(m, slices), kTileItems) * kTileItems;
  const dim3 grid(static_cast<unsigned>(query_blocks), static_cast<unsigned>(slices));
  check(TT_LAUNCH(scan_kernel, grid, dim3(kThreads), 0, context.stream,
                  ScanJob{sides, wanted, before, slice_items}),
        "rank");
  check(TT_LAUNCH(finish_kernel, grid_for(32 * n, kThreads), dim3(kThreads), 0, context.stream, n,
                  wanted, excluded, before, ranks),
        "rank");
}

}  // namespace tt::cuda
