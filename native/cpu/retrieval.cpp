#include "retrieval.h"

#include <algorithm>

namespace tt::cpu {
namespace {

constexpr int64_t kRowsPerBlock = 1024;
constexpr int64_t kTasksPerThread = 4;
constexpr int64_t kLeastSliceItems = 4096;
constexpr int64_t kMostQueryBlock = 768;  // packed, they stay in the second-level cache

}  // namespace

const float* inverse_norms(Context& context, ArenaScope& scope, const RetrievalKernels& kernels,
                           int32_t similarity, const float* rows, int64_t count, int32_t d) {
  if (similarity != TT_COSINE) return nullptr;
  auto* inverse = scope.get<float>(static_cast<size_t>(count));
  context.pool.run((count + kRowsPerBlock - 1) / kRowsPerBlock, [&](int64_t block, int) {
    const int64_t begin = block * kRowsPerBlock;
    kernels.inverse_norms(rows + begin * d, std::min(kRowsPerBlock, count - begin), d,
                          inverse + begin);
  });
  return inverse;
}

void check_list_offsets(const char* name, const int64_t* offsets, int64_t n) {
  if (offsets[0] != 0) bad_argument(format("%s[0]", name), "0", offsets[0]);
  for (int64_t i = 0; i < n; ++i) {
    if (offsets[i + 1] >= offsets[i]) continue;
    bad_argument(format("%s[%lld]", name, (long long)(i + 1)),
                 format("at least %lld, the offset before it", (long long)offsets[i]),
                 offsets[i + 1]);
  }
}

void check_list_items(Context& context, const char* name, const int32_t* items, int64_t count,
                      int64_t m) {
  constexpr int64_t kBlock = 1 << 16;
  context.pool.run((count + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(count, (block + 1) * kBlock);
    for (int64_t i = block * kBlock; i < end; ++i) {
      if (items[i] >= 0 && items[i] < m) continue;
      bad_argument(format("%s[%lld]", name, (long long)i),
                   format("an item in [0, %lld)", (long long)m), int64_t{items[i]});
    }
  });
}

Exclusions Exclusions::make(Context& context, ArenaScope& scope, const tt_retrieval_args& args) {
  if (args.exclude_offsets == nullptr) return Exclusions{};
  check_list_offsets("exclude_offsets", args.exclude_offsets, args.n);
  const int64_t total = args.exclude_offsets[args.n];
  if (total > 0 && args.exclude_items == nullptr) {
    bad_argument("exclude_items", "a pointer", std::string("NULL"));
  }
  check_list_items(context, "exclude_items", args.exclude_items, total, args.m);
  auto* sorted = scope.get<int32_t>(static_cast<size_t>(total));
  constexpr int64_t kBlock = 256;
  context.pool.run((args.n + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t first = block * kBlock;
    const int64_t end = std::min(args.n, first + kBlock);
    for (int64_t q = first; q < end; ++q) {
      int32_t* begin = sorted + args.exclude_offsets[q];
      std::copy(args.exclude_items + args.exclude_offsets[q],
                args.exclude_items + args.exclude_offsets[q + 1], begin);
      std::sort(begin, sorted + args.exclude_offsets[q + 1]);
    }
  });
  return Exclusions{args.exclude_offsets, sorted};
}

RetrievalTasks RetrievalTasks::make(const tt_retrieval_args& args, int threads,
                                    int64_t most_queries) {
  RetrievalTasks tasks{};
  const int64_t wanted = kTasksPerThread * threads;
  const int64_t even_share = (args.n + wanted - 1) / wanted;
  // Blocks of many queries pay for packing the items; few queries are cut by items instead.
  const int64_t most = std::clamp(std::max<int64_t>(even_share, kMostQueryBlock / 4), int64_t{1},
                                  std::min(kMostQueryBlock, most_queries));
  // As many blocks of equal size for each thread, in whole tiles.
  const int64_t blocks = ((args.n + most - 1) / most + threads - 1) / threads * threads;
  const int64_t share = args.n <= most ? args.n : (args.n + blocks - 1) / blocks;
  tasks.query_block = (share + kMostTileQueries - 1) / kMostTileQueries * kMostTileQueries;
  tasks.query_blocks = (args.n + tasks.query_block - 1) / tasks.query_block;
  const int64_t most_slices = std::max<int64_t>(1, args.m / kLeastSliceItems);
  tasks.slices = threads == 1 ? 1
                              : std::clamp((wanted + tasks.query_blocks - 1) / tasks.query_blocks,
                                           int64_t{1}, most_slices);
  tasks.slice_items = (args.m + tasks.slices - 1) / tasks.slices;
  return tasks;
}

RetrievalScratch RetrievalScratch::make(ArenaScope& scope, const RetrievalKernels& kernels,
                                        int64_t queries, int32_t d) {
  const int64_t tile = kernels.tile_queries;
  const int64_t padded = (queries + tile - 1) / tile * tile;
  return RetrievalScratch{scope.get<float>(static_cast<size_t>(padded * d)),
                          scope.get<float>(static_cast<size_t>(d) * kPanelItems)};
}

}  // namespace tt::cpu
