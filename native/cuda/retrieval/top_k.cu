// tt_top_k. A block scores 64 queries with a slice of the items, tile by tile, and appends what may be among the best k
// to each query's list of candidates; full lists are cut to the best k, which sets the query's threshold. Then the
// lists of all slices are merged. What is found depends on neither the slices nor the order of appending: keys are
// all different, and every key above the threshold is kept.
#include <algorithm>

#include "context.h"
#include "retrieval/retrieval.h"
#include "retrieval/select.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = Scores::kThreads, kWarps = kThreads / 32;
constexpr int kMergeThreads = 128;
constexpr int kMostResults = 4096;
constexpr int64_t kMostListBytes = int64_t{256} << 20;
constexpr int64_t kLeastSliceItems = 2048;
constexpr int64_t kBlocksPerMultiprocessor = 4;

/// Lists of candidates: of slice s and query q of the batch at s * queries + q.
struct Lists {
  RankKey* keys;    // [slices, queries, capacity]
  int32_t* counts;  // [slices, queries]
  int32_t capacity;
  int64_t slices, queries, first_query;
};

struct ScanJob {
  Sides sides;
  Exclusions exclusions;
  Lists lists;
  int64_t slice_items;  // a multiple of kTileItems
  int32_t k;
};

/// The block's state of its queries.
struct Thresholds {
  RankKey keys[kTileQueries];  // of the last of the best k; 0: fewer so far
  float scores[kTileQueries];  // of that key; NaN: all pass
  int counts[kTileQueries];
};

__device__ __forceinline__ void append(const ScanJob& job, Thresholds& best, RankKey* lists,
                                       int64_t query, int64_t item,
                                       const float (&sums)[kThreadTile][kThreadTile]) {
  const int64_t m = job.sides.items.matrix.rows;
  const int64_t left = job.lists.first_query + job.lists.queries - query;
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
    const int q = Scores::row_of(i);
    if (q >= left) continue;
    const float threshold = best.scores[q];
#pragma unroll
    for (int j = 0; j < kThreadTile; ++j) {
      if (sums[i][j] <= threshold) continue;  // NaN goes on, to be judged by its key
      const int64_t id = item + Scores::column_of(j);
      if (id >= m) continue;
      const RankKey key = rank_key(sums[i][j], static_cast<int32_t>(id));
      if (key <= best.keys[q]) continue;
      if (job.exclusions.has(query + q, static_cast<int32_t>(id))) continue;
      const int at = atomicAdd(&best.counts[q], 1);
      lists[static_cast<int64_t>(q) * job.lists.capacity + at] = key;
    }
  }
}

/// Cuts the lists that have no room for another tile; a warp each.
__device__ __forceinline__ void cut(const ScanJob& job, Thresholds& best, RankKey* lists,
                                    unsigned* histograms) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int q = warp; q < kTileQueries; q += kWarps) {
    const int count = best.counts[q];
    if (count + kTileItems <= job.lists.capacity) continue;
    RankKey* keys = lists + static_cast<int64_t>(q) * job.lists.capacity;
    const RankKey least = warp_select(keys, count, job.k, histograms + warp * kDigits);
    const int kept = warp_keep(keys, count, least);
    if (threadIdx.x % 32 == 0) {
      best.counts[q] = kept;
      best.keys[q] = least;
      best.scores[q] = key_score(least);
    }
  }
}

__global__ void __launch_bounds__(kThreads) scan_kernel(ScanJob job) {
  TT_SHARED(float, shared, [Scores::kSharedFloats]);
  TT_SHARED(Thresholds, best, );
  TT_SHARED(unsigned, histograms, [kWarps * kDigits]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t query = static_cast<int64_t>(blockIdx.x) * kTileQueries;  // in the batch
  const int64_t slice = blockIdx.y;
  const int64_t list = slice * job.lists.queries + query;
  RankKey* lists = job.lists.keys + list * job.lists.capacity;
  for (int q = thread; q < kTileQueries; q += kThreads) {
    best.keys[q] = 0;
    best.scores[q] = __uint_as_float(0x7FC00000u);
    best.counts[q] = 0;
  }
  const int64_t begin = slice * job.slice_items;
  const int64_t end = min(job.sides.items.matrix.rows, begin + job.slice_items);
  const int64_t first = job.lists.first_query + query;
  for (int64_t item = begin; item < end; item += kTileItems) {
    float sums[kThreadTile][kThreadTile];
    Scores::run(job.sides.queries, job.sides.items, first, item, 0, job.sides.queries.matrix.depth,
                shared, sums);
    append(job, best, lists, first, item, sums);
    __syncthreads();
    const bool full =
        thread < kTileQueries && best.counts[thread] + kTileItems > job.lists.capacity;
    if (__syncthreads_or(full)) {
      cut(job, best, lists, histograms);
      __syncthreads();
    }
  }
  __syncthreads();
  for (int q = thread; q < kTileQueries && query + q < job.lists.queries; q += kThreads) {
    job.lists.counts[list + q] = best.counts[q];
  }
}

/// The k-th largest key of a query's lists, which have more than k; by the whole block.
__device__ __forceinline__ RankKey block_select(const Lists& lists, int64_t query, int32_t k,
                                                unsigned* histogram) {
  TT_SHARED(RankKey, found, );
  TT_SHARED(unsigned, wanted, );
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) {
    found = 0;
    wanted = static_cast<unsigned>(k);
  }
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int i = thread; i < kDigits; i += kMergeThreads) histogram[i] = 0;
    __syncthreads();
    const RankKey prefix = found;
    for (int64_t s = 0; s < lists.slices; ++s) {
      const int64_t list = s * lists.queries + query;
      const RankKey* keys = lists.keys + list * lists.capacity;
      for (int i = thread; i < lists.counts[list]; i += kMergeThreads) {
        if (shift != 56 && (keys[i] ^ prefix) >> (shift + 8) != 0) continue;
        atomicAdd(&histogram[keys[i] >> shift & 0xFFu], 1u);
      }
    }
    __syncthreads();
    if (thread == 0) {
      unsigned rest = wanted;
      int digit = kDigits - 1;
      while (histogram[digit] < rest) rest -= histogram[digit--];
      found = prefix | static_cast<RankKey>(digit) << shift;
      wanted = rest;
    }
    __syncthreads();
  }
  return found;
}

/// A block a query: the best k of its lists, in order.
__global__ void __launch_bounds__(kMergeThreads)
    merge_kernel(Lists lists, int32_t k, int32_t* ids, float* scores) {
  TT_DYN_SHARED(RankKey, sorted);  // [k]
  TT_SHARED(unsigned, histogram, [kDigits]);
  TT_SHARED(int, count, );
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t query = blockIdx.x;
  int64_t total = 0;
  for (int64_t s = 0; s < lists.slices; ++s) total += lists.counts[s * lists.queries + query];
  const RankKey least = total > k ? block_select(lists, query, k, histogram) : 0;
  if (thread == 0) count = 0;
  __syncthreads();
  for (int64_t s = 0; s < lists.slices; ++s) {
    const int64_t list = s * lists.queries + query;
    const RankKey* keys = lists.keys + list * lists.capacity;
    for (int i = thread; i < lists.counts[list]; i += kMergeThreads) {
      if (keys[i] >= least) sorted[atomicAdd(&count, 1)] = keys[i];
    }
  }
  __syncthreads();
  const int found = count;
  block_sort<kMergeThreads>(sorted, found, [](RankKey a, RankKey b) { return a > b; });
  const int64_t at = (lists.first_query + query) * k;
  for (int i = thread; i < k; i += kMergeThreads) {
    const bool none = i >= found;
    ids[at + i] = none ? -1 : key_id(sorted[i]);
    if (scores != nullptr)
      scores[at + i] = none ? __uint_as_float(0xFF800000u) : key_score(sorted[i]);
  }
}

int64_t ceil_divide(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}

/// Room for a tile behind the best k, and then the more, the rarer lists are cut.
int32_t capacity_for(int32_t k) {
  return k <= 512 ? std::max(4 * k, k + 2 * kTileItems) : 2 * k + kTileItems;
}

}  // namespace

void top_k(Context& context, const tt_retrieval_args* args, int32_t k, int32_t* ids,
           float* scores) {
  static_assert(kMostResults * sizeof(RankKey) <= 32 * 1024, "a query's best fit in shared memory");
  Scope scope(context.workspace);
  const Sides sides = make_sides(context, scope, *args);
  const Exclusions exclusions = make_exclusions(context, scope, *args);
  const int32_t capacity = capacity_for(k);
  const int64_t list_bytes = int64_t{capacity} * static_cast<int64_t>(sizeof(RankKey));
  const int64_t most_blocks = std::max<int64_t>(1, kMostListBytes / list_bytes / kTileQueries);
  const int64_t wanted = kBlocksPerMultiprocessor * context.device.multiprocessors;

  const int64_t query_blocks = std::min(ceil_divide(args->n, kTileQueries), most_blocks);
  const int64_t most_slices = std::max<int64_t>(
      1, std::min({args->m / kLeastSliceItems, most_blocks / query_blocks, int64_t{65535}}));
  const int64_t slices = std::clamp<int64_t>(wanted / query_blocks, 1, most_slices);
  const int64_t slice_items = ceil_divide(ceil_divide(args->m, slices), kTileItems) * kTileItems;
  const int64_t batch = std::min(args->n, query_blocks * kTileQueries);
  auto* keys = scope.get<RankKey>(slices * batch * capacity);
  auto* counts = scope.get<int32_t>(slices * batch);
  for (int64_t first = 0; first < args->n; first += batch) {
    const int64_t queries = std::min(batch, args->n - first);
    const Lists lists{keys, counts, capacity, slices, queries, first};
    const dim3 grid(static_cast<unsigned>(ceil_divide(queries, kTileQueries)),
                    static_cast<unsigned>(slices));
    check(TT_LAUNCH(scan_kernel, grid, dim3(kThreads), 0, context.stream,
                    ScanJob{sides, exclusions, lists, slice_items, k}),
          "top_k");
    check(
        TT_LAUNCH(merge_kernel, dim3(static_cast<unsigned>(queries)), dim3(kMergeThreads),
                  static_cast<size_t>(k) * sizeof(RankKey), context.stream, lists, k, ids, scores),
        "top_k");
  }
}

}  // namespace tt::cuda
