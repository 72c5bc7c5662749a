// tt_top_k. A block scores 64 queries with a slice of the items, tile by tile, and appends what may be among the best k
// to each query's list of candidates; full lists are cut to the best k, which sets the query's threshold. Then the
// lists of all slices are merged. What is found depends on neither the slices nor the order of appending: keys are
// all different, and every key above the threshold is kept.
#include <algorithm>
#include <type_traits>

#include "context.h"
#include "retrieval/plan.h"
#include "retrieval/retrieval.h"
#include "retrieval/select.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = ScoreProduct::kThreads, kWarps = kThreads / 32;
constexpr int kMostResults = 4096;
constexpr int64_t kMostListBytes = int64_t{256} << 20;
constexpr int64_t kLeastSliceItems = 2048;
constexpr int64_t kExtraTiles =
    12;  // that a block's first candidates and its share of the merge take as long as
constexpr int64_t kTriedBatches = 16;

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

/// scores[j], by selections: an array that is indexed at run time would lie in local memory.
__device__ __forceinline__ float pick(const float (&scores)[kThreadTile], int j) {
  static_assert(kThreadTile == 8, "three bits");
  const auto of_four = [&](int first) {
    const float low = (j & 1) != 0 ? scores[first + 1] : scores[first];
    const float high = (j & 1) != 0 ? scores[first + 3] : scores[first + 2];
    return (j & 2) != 0 ? high : low;
  };
  return (j & 4) != 0 ? of_four(4) : of_four(0);
}

/// One look at the largest of a thread's scores of a query, then only at those that pass: a branch for each score would be
/// most of the kernel's code. fmaxf passes NaN over, rightly: its key is above none of a threshold that is a number.
__device__ __forceinline__ void append(const ScanJob& job, Thresholds& best, RankKey* lists,
                                       int64_t query, int64_t item,
                                       const float (&sums)[kThreadTile][kThreadTile]) {
  const int64_t m = job.sides.items.matrix.rows;
  const int64_t left = job.lists.first_query + job.lists.queries - query;
#pragma unroll
  for (int i = 0; i < kThreadTile; ++i) {
    const int q = ScoreProduct::row_of(i);
    const float threshold = best.scores[q];
    float largest = sums[i][0];
#pragma unroll
    for (int j = 1; j < kThreadTile; ++j) largest = fmaxf(largest, sums[i][j]);
    if (largest <= threshold || q >= left) continue;
    unsigned passing = 0;
#pragma unroll
    for (int j = 0; j < kThreadTile; ++j) passing |= sums[i][j] <= threshold ? 0u : 1u << j;
    for (; passing != 0; passing &= passing - 1) {
      const int j = __ffs(static_cast<int>(passing)) - 1;
      const int64_t id = item + ScoreProduct::column_of(j);
      if (id >= m) break;
      const RankKey key = rank_key(pick(sums[i], j), static_cast<int32_t>(id));
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

template <bool kWhole>
__global__ void __launch_bounds__(kThreads) scan_kernel(ScanJob job) {
  TT_SHARED(float, shared, [ScoreProduct::kSharedFloats]);
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
  Tiles<kWhole> tiles(job.sides, first, begin, shared);
  for (int64_t item = begin; item < end; item += kTileItems) {
    float sums[kThreadTile][kThreadTile];
    tiles.next(sums);
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

/// Calls use(key) for the thread's share of a query's keys. Where there are fewer lists than warps, several have one list.
template <int kMergeThreads, class Use>
__device__ __forceinline__ void for_keys(const Lists& lists, int64_t query, Use use) {
  constexpr int kMergeWarps = kMergeThreads / 32;
  const int at_once = lists.slices < kMergeWarps ? static_cast<int>(lists.slices) : kMergeWarps;
  const int threads = kMergeWarps / at_once * 32;  // of a list
  const int team = static_cast<int>(threadIdx.x) / threads;
  if (team >= at_once) return;
  for (int64_t s = team; s < lists.slices; s += at_once) {
    const int64_t list = s * lists.queries + query;
    const RankKey* keys = lists.keys + list * lists.capacity;
    const int count = lists.counts[list];
    for (int i = static_cast<int>(threadIdx.x) - team * threads; i < count; i += threads) {
      use(keys[i]);
    }
  }
}

/// A bound that just the best k of a query's lists reach, which have more than k, as warp_select's; by the whole block.
template <int kMergeThreads>
__device__ __forceinline__ RankKey block_select(const Lists& lists, int64_t query, int32_t k,
                                                unsigned* histogram) {
  TT_SHARED(Digit, found, );
  const int thread = static_cast<int>(threadIdx.x);
  RankKey prefix = 0;
  unsigned wanted = static_cast<unsigned>(k);
  for (int shift = 56; shift >= 0; shift -= 8) {
    for (int i = thread; i < kDigits; i += kMergeThreads) histogram[i] = 0;
    __syncthreads();
    for_keys<kMergeThreads>(lists, query, [&](RankKey key) {
      if (shift != 56 && (key ^ prefix) >> (shift + 8) != 0) return;
      atomicAdd(&histogram[key >> shift & 0xFFu], 1u);
    });
    __syncthreads();
    if (thread < 32) {
      const Digit digit = warp_digit(histogram, wanted);
      if (thread == 0) found = digit;
    }
    __syncthreads();
    prefix |= static_cast<RankKey>(found.value) << shift;
    wanted = found.wanted;
    if (found.all) break;
  }
  return prefix;
}

/// A block a query: the best k of its lists, in order.
template <int kMergeThreads>
__global__ void __launch_bounds__(kMergeThreads)
    merge_kernel(Lists lists, int32_t k, int32_t* ids, float* scores) {
  TT_DYN_SHARED(RankKey, sorted);  // [k]
  TT_SHARED(unsigned, histogram, [kDigits]);
  TT_SHARED(int, total, );
  TT_SHARED(int, count, );
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t query = blockIdx.x;
  if (thread == 0) total = count = 0;
  __syncthreads();
  int own = 0;
  for (int64_t s = thread; s < lists.slices; s += kMergeThreads) {
    own += lists.counts[s * lists.queries + query];
  }
  if (own != 0) atomicAdd(&total, own);
  __syncthreads();
  const RankKey least = total > k ? block_select<kMergeThreads>(lists, query, k, histogram) : 0;
  for_keys<kMergeThreads>(lists, query, [&](RankKey key) {
    if (key >= least) sorted[atomicAdd(&count, 1)] = key;
  });
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

/// Room for a tile behind the best k, and then the more, the rarer lists are cut.
int32_t capacity_for(int32_t k) {
  return k <= 512 ? std::max(4 * k, k + 2 * kTileItems) : 2 * k + kTileItems;
}

/// How the queries are cut into batches, since the lists of all need not fit.
class Batches {
 public:
  Batches(const Device& device, const tt_retrieval_args& args, int32_t capacity, int64_t resident)
      : tiles_(ceil_divide(args.m, kTileItems)),
        most_slices_(std::min<int64_t>(args.m / kLeastSliceItems, 65535)),
        resident_(resident) {
    // Fewer blocks than the device runs at once would leave it half idle.
    const int64_t bytes = int64_t{capacity} * kTileQueries * static_cast<int64_t>(sizeof(RankKey));
    const int64_t filled =
        std::min(resident * bytes, static_cast<int64_t>(device.memory_bytes / 64));
    most_blocks_ = std::max<int64_t>(1, std::max(kMostListBytes, filled) / bytes);
    const int64_t blocks = ceil_divide(args.n, kTileQueries);
    int64_t best = try_batch(blocks, std::min(blocks, most_blocks_), 0);
    const int64_t least = ceil_divide(blocks, most_blocks_);
    for (int64_t count = least; count < std::min(blocks, least + kTriedBatches); ++count) {
      best = try_batch(blocks, ceil_divide(blocks, count), best);
    }
    queries = std::min(args.n, blocks_ * kTileQueries);
    const int64_t last = (args.n - 1) % queries + 1;
    lists = std::max(queries * cut(queries).slices, last * cut(last).slices);
  }

  int64_t queries;  // of a batch, but for the last one
  int64_t lists;    // the most of any batch

  Cut cut(int64_t batch_queries) const {
    return cut_blocks(ceil_divide(batch_queries, kTileQueries));
  }

 private:
  Cut cut_blocks(int64_t blocks) const {
    const int64_t most = std::min(most_slices_, most_blocks_ / blocks);
    return cut_items(blocks, tiles_, CutLimits{most, resident_, kExtraTiles});
  }

  /// Takes batches of `each` if they take less time than the best so far, 0: none yet. Returns the best time.
  int64_t try_batch(int64_t blocks, int64_t each, int64_t best) {
    const int64_t rest = blocks % each;
    const int64_t time =
        blocks / each * cut_blocks(each).time + (rest > 0 ? cut_blocks(rest).time : 0);
    if (best != 0 && time >= best) return best;
    blocks_ = each;
    return time;
  }

  int64_t tiles_, most_slices_, resident_, most_blocks_ = 1, blocks_ = 1;
};

void merge(Context& context, const Lists& lists, int32_t k, int32_t* ids, float* scores) {
  const auto launch = [&](auto threads) {
    constexpr int kMergeThreads = decltype(threads)::value;
    check(TT_LAUNCH((merge_kernel<kMergeThreads>), dim3(static_cast<unsigned>(lists.queries)),
                    dim3(kMergeThreads), static_cast<size_t>(k) * sizeof(RankKey), context.stream,
                    lists, k, ids, scores),
          "top_k");
  };
  // Few queries have many slices, and keep a device busy only with large blocks.
  if (lists.queries <= 2 * context.device.multiprocessors && lists.slices > 4)
    launch(std::integral_constant<int, 1024>());
  else
    launch(std::integral_constant<int, 128>());
}

template <bool kWhole>
void search(Context& context, Scope& scope, const tt_retrieval_args& args, const ScanJob& shared,
            int32_t* ids, float* scores) {
  ScanJob job = shared;
  const int32_t capacity = capacity_for(job.k);
  const int64_t resident = resident_blocks(
      context.device, reinterpret_cast<const void*>(&scan_kernel<kWhole>), kThreads);
  const Batches batches(context.device, args, capacity, resident);
  auto* keys = scope.get<RankKey>(batches.lists * capacity);
  auto* counts = scope.get<int32_t>(batches.lists);
  for (int64_t first = 0; first < args.n; first += batches.queries) {
    const int64_t queries = std::min(batches.queries, args.n - first);
    const Cut cut = batches.cut(queries);
    job.lists = Lists{keys, counts, capacity, cut.slices, queries, first};
    job.slice_items = cut.tiles * kTileItems;
    const dim3 grid(static_cast<unsigned>(ceil_divide(queries, kTileQueries)),
                    static_cast<unsigned>(cut.slices));
    check(TT_LAUNCH((scan_kernel<kWhole>), grid, dim3(kThreads), 0, context.stream, job), "top_k");
    merge(context, job.lists, job.k, ids, scores);
  }
}

}  // namespace

void top_k(Context& context, const tt_retrieval_args* args, int32_t k, int32_t* ids,
           float* scores) {
  static_assert(kMostResults * sizeof(RankKey) <= 32 * 1024, "a query's best fit in shared memory");
  Scope scope(context.workspace);
  const Sides sides = make_sides(context, scope, *args);
  const Exclusions exclusions = make_exclusions(context, scope, *args);
  const ScanJob job{sides, exclusions, Lists{}, 0, k};
  if (sides.whole())
    search<true>(context, scope, *args, job, ids, scores);
  else
    search<false>(context, scope, *args, job, ids, scores);
}

}  // namespace tt::cuda
