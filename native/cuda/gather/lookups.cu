#include "gather/lookups.h"

#include "gather/block_map.h"

namespace tt::cuda {
namespace {

/// The row of all views' that the thread's group of lanes has, or one behind them.
__device__ __forceinline__ int64_t row_of_group(const GatherFeature& feature, const Lanes& lanes) {
  return static_cast<int64_t>(blockIdx.x - feature.first_block) * (kLookupThreads / lanes.width()) +
         static_cast<int>(threadIdx.x) / lanes.width();
}

__device__ __forceinline__ Bag<1> bag_of_row(const LookupJob& job, const GatherFeature& feature,
                                             int64_t row) {
  const LookupView* view = job.views;
  int64_t begin = 0;
  while (row >= view->end) begin = view++->end;
  return Bag<1>(view->reading, feature, row - begin);
}

__global__ void __launch_bounds__(kLookupThreads) count_kernel(LookupJob job, int64_t* counts) {
  const GatherFeature& feature = item_of_block(job.features, job.feature_count);
  const Lanes lanes(feature.lanes);
  const int64_t row = row_of_group(feature, lanes);
  if (row >= job.rows) return;
  const Bag<1> bag = bag_of_row(job, feature, row);
  int64_t count = bag.known_count();
  if (count < 0) {
    count = 0;
    bag.for_tiles(lanes,
                  [&](int32_t, unsigned kept, int) { count += __popc(lanes.ballot(kept != 0)); });
  }
  if (lanes.lane() == 0) counts[feature.first_bag + row] = count != 0 ? count : 1;
}

__global__ void __launch_bounds__(kLookupThreads) write_kernel(LookupJob job, LookupOutput out) {
  const GatherFeature& feature = item_of_block(job.features, job.feature_count);
  const Lanes lanes(feature.lanes);
  const int64_t row = row_of_group(feature, lanes);
  if (row >= job.rows) return;
  const Bag<1> bag = bag_of_row(job, feature, row);
  const int64_t number = feature.first_bag + row;
  const int64_t first = out.offsets != nullptr ? out.offsets[number] : number;
  int64_t count = 0;
  const auto put = [&](int64_t at, int32_t id) {
    out.keys[first + at] = feature.first_key + static_cast<uint32_t>(id);
    if (out.bags != nullptr) out.bags[first + at] = static_cast<uint32_t>(number);
  };
  bag.for_tiles(lanes, [&](int32_t id, unsigned kept, int) {
    const unsigned keeps = lanes.ballot(kept != 0);
    if (kept != 0) put(count + __popc(keeps & ((1u << lanes.lane()) - 1u)), id);
    count += __popc(keeps);
  });
  if (lanes.lane() != 0) return;
  if (count == 0) {
    put(0, 0);
    count = 1;
  }
  if (out.scales != nullptr) out.scales[number] = pooling_scale(feature.pooling, count);
}

}  // namespace

int lookup_lanes(const GatherFeature& feature) {
  if (feature.through_list != 0) return 32;
  return feature.offsets != nullptr ? 4 : 1;
}

void count_lookups(Context& context, const LookupJob& job, int64_t* counts) {
  if (job.blocks == 0) return;
  check(TT_LAUNCH(count_kernel, dim3(job.blocks), dim3(kLookupThreads), 0, context.stream, job,
                  counts),
        "counting lookups");
}

void write_lookups(Context& context, const LookupJob& job, const LookupOutput& output) {
  if (job.blocks == 0) return;
  check(TT_LAUNCH(write_kernel, dim3(job.blocks), dim3(kLookupThreads), 0, context.stream, job,
                  output),
        "writing lookups");
}

}  // namespace tt::cuda
