// tt_top_k: scores in register tiles, kept only where they may be among the best k.
#include <algorithm>
#include <functional>
#include <limits>

#include "isa_select.h"
#include "retrieval.h"

namespace tt::cpu {
namespace {

constexpr int64_t kMostStateBytes = int64_t{8} << 20;  // candidates of one task

/// Room for candidates: the more, the rarer they are cut to the best k.
int64_t capacity_for(int32_t k) {
  return std::max<int64_t>(2 * int64_t{k}, int64_t{k} + 64);
}

/// The k largest of the first count keys come first, the k-th largest last of them. Quickselect that moves keys without
/// branches: std::nth_element waits for a misread branch at every second key.
void keep_largest(RankKey* keys, int64_t count, int64_t k) {
  constexpr int64_t kFew = 12;
  RankKey* begin = keys;
  RankKey* end = keys + count;
  RankKey* const last = keys + k - 1;
  for (int rounds = 0; end - begin > kFew && rounds < 40; ++rounds) {
    RankKey* middle = begin + (end - begin) / 2;
    RankKey* back = end - 1;
    if (*middle < *begin) std::swap(*middle, *begin);
    if (*back < *middle) std::swap(*back, *middle);
    if (*middle < *begin) std::swap(*middle, *begin);
    std::swap(*middle, *back);
    const RankKey pivot = *back;
    RankKey* larger = begin;
    for (RankKey* key = begin; key < back; ++key) {
      const RankKey here = *key;
      *key = *larger;
      *larger = here;
      larger += here > pivot ? 1 : 0;
    }
    std::swap(*larger, *back);
    if (larger == last) return;
    if (larger > last) {
      end = larger;
    } else {
      begin = larger + 1;
    }
  }
  std::nth_element(begin, last, end, std::greater<RankKey>());
}

float compact(BestItems& best, int32_t k) {
  keep_largest(best.keys, best.count, k);
  best.count = k;
  return key_score(best.keys[k - 1]);
}

struct Worker {
  RetrievalScratch scratch;
  RankKey* keys;      // [query_block, capacity]
  BestItems* best;    // [query_block]
  float* thresholds;  // [query_block + kMostTileQueries]
};

/// The results of each slice, merged for each query.
void merge_slices(Context& context, const RankKey* found, int64_t slices, int64_t n, int32_t k,
                  int32_t* ids, float* scores) {
  constexpr int64_t kBlock = 16;
  ArenaScope scope(context.arena);
  const int64_t all = slices * k;
  auto* scratch = scope.get<RankKey>(static_cast<size_t>(context.pool.threads() * all));
  context.pool.run((n + kBlock - 1) / kBlock, [&](int64_t block, int w) {
    RankKey* keys = scratch + w * all;
    const int64_t end = std::min(n, (block + 1) * kBlock);
    for (int64_t q = block * kBlock; q < end; ++q) {
      for (int64_t s = 0; s < slices; ++s) {
        std::copy_n(found + (s * n + q) * k, k, keys + s * k);
      }
      if (slices > 1) keep_largest(keys, all, k);
      std::sort(keys, keys + k, std::greater<RankKey>());
      for (int32_t i = 0; i < k; ++i) {
        const bool none = keys[i] == 0;
        ids[q * k + i] = none ? -1 : key_id(keys[i]);
        if (scores != nullptr) {
          scores[q * k + i] = none ? -std::numeric_limits<float>::infinity() : key_score(keys[i]);
        }
      }
    }
  });
}

}  // namespace

void top_k(Context& context, const tt_retrieval_args* args, int32_t k, int32_t* ids,
           float* scores) {
  const RetrievalKernels& kernels = TT_SELECT(context.isa, kRetrieval);
  const int64_t n = args->n;
  const int32_t d = args->d;
  const int64_t capacity = capacity_for(k);
  ArenaScope scope(context.arena);
  const Exclusions exclusions = Exclusions::make(context, scope, *args);
  const float* query_norms =
      inverse_norms(context, scope, kernels, args->similarity, args->queries, n, d);
  const float* item_norms =
      inverse_norms(context, scope, kernels, args->similarity, args->items, args->m, d);
  const int64_t most_queries = std::max<int64_t>(
      kMostTileQueries, kMostStateBytes / static_cast<int64_t>(sizeof(RankKey)) / capacity);
  const RetrievalTasks tasks = RetrievalTasks::make(*args, context.pool.threads(), most_queries);
  auto* workers = scope.get<Worker>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w) {
    const auto block = static_cast<size_t>(tasks.query_block);
    workers[w] = Worker{RetrievalScratch::make(scope, kernels, tasks.query_block, d),
                        scope.get<RankKey>(block * static_cast<size_t>(capacity)),
                        scope.get<BestItems>(block), scope.get<float>(block + kMostTileQueries)};
  }
  // [slices, n, k]; a key of 0 is smaller than that of any item: nothing.
  auto* found = scope.get<RankKey>(static_cast<size_t>(tasks.slices * n * k));

  context.pool.run(tasks.count(), [&](int64_t task, int w) {
    const Worker& worker = workers[w];
    const int64_t slice = task % tasks.slices;
    const int64_t first = task / tasks.slices * tasks.query_block;
    const auto count = static_cast<int32_t>(std::min(tasks.query_block, n - first));
    kernels.pack_queries(args->queries + first * d,
                         query_norms != nullptr ? query_norms + first : nullptr, count, d,
                         worker.scratch.queries);
    for (int32_t q = 0; q < count; ++q) {
      const int32_t* excluded = exclusions.begin(first + q);
      worker.best[q] = BestItems{worker.keys + q * capacity, 0, static_cast<int32_t>(capacity),
                                 excluded, excluded + exclusions.count(first + q)};
      worker.thresholds[q] = std::numeric_limits<float>::quiet_NaN();
    }
    const int64_t item_begin = std::min(args->m, slice * tasks.slice_items);
    const int64_t item_end = std::min(args->m, item_begin + tasks.slice_items);
    kernels.top_k(TopKJob{ScanJob{worker.scratch.queries, count, d, args->items, item_norms,
                                  item_begin, item_end, worker.scratch.panel},
                          worker.best, worker.thresholds, &compact, k});
    for (int32_t q = 0; q < count; ++q) {
      BestItems& best = worker.best[q];
      if (best.count > k) compact(best, k);
      RankKey* to = found + (slice * n + first + q) * k;
      std::copy_n(best.keys, best.count, to);
      std::fill(to + best.count, to + k, RankKey{0});
    }
  });
  merge_slices(context, found, tasks.slices, n, k, ids, scores);
}

}  // namespace tt::cpu
