// tt_sparse_update: duplicates are merged in the order given, then each row is updated once.
#include "gather/gather_call.h"
#include "gather/merge.h"
#include "gather/radix_sort.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads)
    number_kernel(const int32_t* ids, int64_t count, KeysAndValues pairs) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  pairs.keys[i] = static_cast<uint32_t>(ids[i]);
  pairs.values[i] = static_cast<uint32_t>(i);
}

int bits_below(int64_t bound) {
  int bits = 0;
  while (int64_t{1} << bits < bound) ++bits;
  return bits;
}

}  // namespace

void sparse_update(Context& context, const tt_optimizer* optimizer, const tt_embedding* embedding,
                   const int32_t* ids, const float* values, int64_t count) {
  if (count == 0) return;
  if (count >= int64_t{1} << 32) {
    unsupported(format("%lld gradient rows are more than one update can address.",
                       static_cast<long long>(count)));
  }
  Scope scope(context.workspace);
  Zeroed zeroed(context, scope);
  KeysAndValues pairs{scope.get<uint32_t>(count), scope.get<uint32_t>(count)};
  const KeysAndValues spare{scope.get<uint32_t>(count), scope.get<uint32_t>(count)};
  check(TT_LAUNCH(number_kernel, grid_for(count, kThreads), dim3(kThreads), 0, context.stream, ids,
                  count, pairs),
        "sparse_update");
  pairs = radix_sort(context, scope, zeroed, pairs, spare, count, bits_below(embedding->rows));

  const tt_embedding& e = *embedding;
  const int64_t first_keys[2] = {0, e.rows};
  const GradientPiece piece{values, e.dim, count};
  Staging staging;
  const size_t keys_place = staging.add(first_keys, 2), piece_place = staging.add(&piece, 1);
  staging.send(context, scope);
  const SortedLookups sorted = find_runs(context, scope, zeroed, pairs.keys, pairs.values, count,
                                         staging.at<int64_t>(keys_place), 1, nullptr);
  MergeTarget target{};
  target.embedding = e;
  target.id_bound = e.rows;
  target.aligned = quads_aligned(values, e.dim, sizeof(float)) &&
                   quads_aligned(e.weights, e.dim, size_of(e.dtype)) &&
                   quads_aligned(e.state1, e.dim, sizeof(float)) &&
                   quads_aligned(e.state2, e.dim, sizeof(float));
  merge_runs(context, scope, zeroed, sorted, count,
             GradientRows(staging.at<GradientPiece>(piece_place), 1, 1), {target},
             make_plan(*optimizer));
}

}  // namespace tt::cuda
