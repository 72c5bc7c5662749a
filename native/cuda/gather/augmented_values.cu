// tt_augmented_values: what a view keeps of one feature, for previews and tests.
#include "gather/lookups.h"
#include "gather/scan.h"

namespace tt::cuda {

void augmented_values(Context& context, const Table* table, const tt_gather_view* view,
                      int32_t feature, uint64_t* masks, int64_t* offsets, int32_t* values,
                      int64_t capacity) {
  Scope scope(context.workspace);
  Zeroed zeroed(context, scope);
  if (masks != nullptr) feature_masks(context, *table, *view, masks);
  const std::vector<ViewReading> readings = read_views(context, scope, *table, view, 1);
  const LookupView wanted_view{make_reading<1>(*table, *view, readings.data()), view->n};
  GatherFeature wanted = gather_features(*table, nullptr)[static_cast<size_t>(feature)];
  const uint32_t blocks = give_blocks(wanted, lookup_lanes(wanted), kLookupThreads, view->n, 0);
  Staging staging;
  const size_t view_place = staging.add(&wanted_view, 1), feature_place = staging.add(&wanted, 1);
  staging.send(context, scope);
  const LookupJob job{staging.at<LookupView>(view_place), staging.at<GatherFeature>(feature_place),
                      1, view->n, blocks};
  count_lookups(context, job, offsets);
  exclusive_scan(context, zeroed, offsets, view->n, offsets + view->n);
  if (values == nullptr) return;
  int64_t total = 0;
  read(context, offsets + view->n, 1, &total, "augmented_values");
  if (total > capacity) {
    bad_argument("capacity", format("at least %lld", static_cast<long long>(total)), capacity);
  }
  LookupOutput output{};
  output.offsets = offsets;
  output.keys = reinterpret_cast<uint32_t*>(values);
  write_lookups(context, job, output);
}

}  // namespace tt::cuda
