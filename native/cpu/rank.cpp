// tt_rank: how many items come before each target.
#include <algorithm>

#include "isa_select.h"
#include "retrieval.h"

namespace tt::cpu {
namespace {

struct Worker {
  RetrievalScratch scratch;
  float* excluded_scores;  // [longest exclusion list]
  float* target_scores;    // [longest target list]
  RankTarget* targets;     // [most targets of a query block]
  int64_t* target_begin;   // [query_block + 1]
};

struct Sizes {
  int64_t longest_exclusion = 0;
  int64_t longest_target = 0;
  int64_t most_targets = 0;  // of a block
};

Sizes measure(const tt_retrieval_args& args, const RetrievalTasks& tasks,
              const Exclusions& exclusions, const int64_t* target_offsets) {
  Sizes sizes;
  for (int64_t q = 0; q < args.n; ++q) {
    sizes.longest_exclusion = std::max(sizes.longest_exclusion, exclusions.count(q));
    sizes.longest_target =
        std::max(sizes.longest_target, target_offsets[q + 1] - target_offsets[q]);
  }
  for (int64_t first = 0; first < args.n; first += tasks.query_block) {
    const int64_t end = std::min(args.n, first + tasks.query_block);
    sizes.most_targets = std::max(sizes.most_targets, target_offsets[end] - target_offsets[first]);
  }
  return sizes;
}

/// The excluded items that come before a target do not count. keys: of the exclusions, each once.
int64_t excluded_before(const int32_t* excluded, const float* scores, int64_t count,
                        RankKey target) {
  int64_t before = 0;
  for (int64_t e = 0; e < count; ++e) {
    if (e > 0 && excluded[e] == excluded[e - 1]) continue;
    before += rank_key(scores[e], excluded[e]) > target ? 1 : 0;
  }
  return before;
}

}  // namespace

void rank(Context& context, const tt_retrieval_args* args, const int64_t* target_offsets,
          const int32_t* targets, int32_t* ranks) {
  const RetrievalKernels& kernels = TT_SELECT(context.isa, kRetrieval);
  const int64_t n = args->n;
  const int32_t d = args->d;
  ArenaScope scope(context.arena);
  check_list_offsets("target_offsets", target_offsets, n);
  const int64_t total = target_offsets[n];
  check_list_items(context, "targets", targets, total, args->m);
  if (total == 0) return;
  const Exclusions exclusions = Exclusions::make(context, scope, *args);
  const float* query_norms =
      inverse_norms(context, scope, kernels, args->similarity, args->queries, n, d);
  const float* item_norms =
      inverse_norms(context, scope, kernels, args->similarity, args->items, args->m, d);
  const RetrievalTasks tasks = RetrievalTasks::make(*args, context.pool.threads(), n);
  const Sizes sizes = measure(*args, tasks, exclusions, target_offsets);
  auto* workers = scope.get<Worker>(static_cast<size_t>(context.pool.threads()));
  for (int w = 0; w < context.pool.threads(); ++w) {
    workers[w] = Worker{RetrievalScratch::make(scope, kernels, tasks.query_block, d),
                        scope.get<float>(static_cast<size_t>(sizes.longest_exclusion)),
                        scope.get<float>(static_cast<size_t>(sizes.longest_target)),
                        scope.get<RankTarget>(static_cast<size_t>(sizes.most_targets)),
                        scope.get<int64_t>(static_cast<size_t>(tasks.query_block) + 1)};
  }
  // [slices, total]: items of the slice that come before the target; the first slice also takes away the
  // excluded ones.
  auto* before = scope.get<int64_t>(static_cast<size_t>(tasks.slices * total));

  context.pool.run(tasks.count(), [&](int64_t task, int w) {
    const Worker& worker = workers[w];
    const int64_t slice = task % tasks.slices;
    const int64_t first = task / tasks.slices * tasks.query_block;
    const auto count = static_cast<int32_t>(std::min(tasks.query_block, n - first));
    const int64_t first_target = target_offsets[first];
    kernels.pack_queries(args->queries + first * d,
                         query_norms != nullptr ? query_norms + first : nullptr, count, d,
                         worker.scratch.queries);
    const int64_t item_begin = std::min(args->m, slice * tasks.slice_items);
    const int64_t item_end = std::min(args->m, item_begin + tasks.slice_items);
    const ScanJob scan{
        worker.scratch.queries, count, d, args->items, item_norms, item_begin, item_end,
        worker.scratch.panel};
    for (int32_t q = 0; q < count; ++q) {
      const int64_t begin = target_offsets[first + q];
      const int64_t own = target_offsets[first + q + 1] - begin;
      worker.target_begin[q] = begin - first_target;
      kernels.score(scan, q, targets + begin, own, worker.target_scores);
      const int32_t* excluded = exclusions.begin(first + q);
      const int64_t excluded_count = slice == 0 && own > 0 ? exclusions.count(first + q) : 0;
      kernels.score(scan, q, excluded, excluded_count, worker.excluded_scores);
      for (int64_t t = 0; t < own; ++t) {
        const int32_t id = targets[begin + t];
        const float score = worker.target_scores[t];
        worker.targets[begin - first_target + t] =
            RankTarget{score, id,
                       -excluded_before(excluded, worker.excluded_scores, excluded_count,
                                        rank_key(score, id))};
      }
    }
    worker.target_begin[count] = target_offsets[first + count] - first_target;
    kernels.rank(RankJob{scan, worker.targets, worker.target_begin});
    for (int64_t t = 0; t < worker.target_begin[count]; ++t) {
      before[slice * total + first_target + t] = worker.targets[t].before;
    }
  });

  for (int64_t q = 0; q < n; ++q) {
    const int32_t* excluded = exclusions.begin(q);
    for (int64_t t = target_offsets[q]; t < target_offsets[q + 1]; ++t) {
      int64_t position = 1;
      for (int64_t s = 0; s < tasks.slices; ++s) position += before[s * total + t];
      const bool gone = std::binary_search(excluded, excluded + exclusions.count(q), targets[t]);
      ranks[t] = gone ? -1 : static_cast<int32_t>(position);
    }
  }
}

}  // namespace tt::cpu
