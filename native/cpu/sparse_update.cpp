// tt_sparse_update: duplicates are merged in the order given, then each row is updated once.
#include <algorithm>

#include "merge.h"

namespace tt::cpu {
namespace {

constexpr int64_t kMostBlocks = 64;

void check_ids(const tt_embedding& embedding, const int32_t* ids, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    if (ids[i] >= 0 && ids[i] < embedding.rows) continue;
    bad_argument(format("ids[%lld]", (long long)i),
                 format("an id in [0, %lld)", (long long)embedding.rows), int64_t{ids[i]});
  }
}

}  // namespace

void sparse_update(Context& context, const tt_optimizer* optimizer, const tt_embedding* embedding,
                   const int32_t* ids, const float* values, int64_t count) {
  if (count > int64_t{1} << 32) {
    unsupported(
        format("%lld gradient rows are more than one update can address.", (long long)count));
  }
  ArenaScope scope(context.arena);
  const int64_t block_size = std::max<int64_t>(1024, (count + kMostBlocks - 1) / kMostBlocks);
  const int64_t blocks = (count + block_size - 1) / block_size;
  const int64_t id_bound = embedding->rows;
  LookupSort sort(context, scope, 1, &id_bound, blocks);
  for (int64_t b = 0; b < blocks; ++b) {
    sort.capacity(b, 0) = std::min(block_size, count - b * block_size);
  }
  sort.allocate();
  context.pool.run(blocks, [&](int64_t b, int) {
    const int64_t begin = b * block_size;
    const int64_t end = std::min(count, begin + block_size);
    check_ids(*embedding, ids, begin, end);
    LookupSort::Writer writer = sort.writer(b);
    for (int64_t i = begin; i < end; ++i) writer.put(0, ids[i], static_cast<uint32_t>(i));
    sort.written(b);
  });
  sort.sort();

  const GradientPiece piece{values, embedding->dim, 0, count};
  const int64_t column = 0;
  MergeJob job{};
  job.rows = GradientRows{&piece, count, 0, &column, nullptr};
  job.dim = embedding->dim;
  job.target =
      MergeTarget{nullptr,           nullptr,           make_plan(*optimizer), embedding->weights,
                  embedding->state1, embedding->state2, embedding->dtype};
  Merge(context, scope, sort, 1).finish(&job);
}

}  // namespace tt::cpu
