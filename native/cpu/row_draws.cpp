#include "row_draws.h"

#include <algorithm>

namespace tt::cpu {
namespace {

DrawJob make_job(const AugmentationPlan& plan, uint32_t first_row, int rows, uint32_t feature,
                 uint32_t view, uint32_t draw) {
  const PhiloxBlock counter = philox_counter(0, first_row, plan.step, feature, view, draw);
  return DrawJob{plan.key, first_row, counter.v[2], counter.v[3], rows, 0, 1};
}

void add_random_masks(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                      int rows, uint64_t* masks) {
  DrawJob job = make_job(plan, first_row, rows, 0, plan.view, TT_DRAW_MASK);
  uint32_t bits[kDrawRows];
  for (int first = 0; first < TT_MAX_FEATURES; first += 32) {
    const auto wanted = static_cast<uint32_t>(plan.maskable >> first);
    if (wanted == 0) continue;
    job.first_position = static_cast<uint32_t>(first) / 4;
    job.positions = (32 - __builtin_clz(wanted) + 3) / 4;
    kernels.events(job, plan.mask_below, bits);
    for (int i = 0; i < rows; ++i) masks[i] |= static_cast<uint64_t>(bits[i] & wanted) << first;
  }
}

void add_halves(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                int rows, uint64_t* masks) {
  DrawJob job = make_job(plan, first_row, rows, 0, 0, TT_DRAW_SPLIT);
  job.positions = plan.maskable_count / 2;
  uint32_t low[TT_MAX_FEATURES / 2 * kDrawRows];
  uint32_t high[TT_MAX_FEATURES / 2 * kDrawRows];
  kernels.pairs(job, low, high);
  for (int i = 0; i < rows; ++i) {
    const uint64_t half = half_of(plan, [&](int32_t t) {
      return DrawPair{low[t * kDrawRows + i], high[t * kDrawRows + i]};
    });
    masks[i] |= plan.view == 2 ? plan.maskable & ~half : half;
  }
}

void add_correlated_sets(const DrawKernels& kernels, const AugmentationPlan& plan,
                         uint32_t first_row, int rows, uint64_t* masks) {
  const DrawJob job = make_job(plan, first_row, rows, 0, seed_view(plan), TT_DRAW_SEED);
  uint32_t low[kDrawRows];
  uint32_t high[kDrawRows];
  kernels.pairs(job, low, high);
  for (int i = 0; i < rows; ++i) masks[i] |= correlated_set_of(plan, DrawPair{low[i], high[i]});
}

}  // namespace

void feature_masks(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                   int rows, uint64_t* masks) {
  std::fill(masks, masks + rows, 0);
  if ((plan.transforms & kWholeFeatureTransforms) == 0) return;
  if (plan.per_batch != 0) {
    std::fill(masks, masks + rows, feature_mask(plan, 0));
    return;
  }
  if ((plan.transforms & TT_RANDOM_MASK) != 0) {
    add_random_masks(kernels, plan, first_row, rows, masks);
  }
  if ((plan.transforms & TT_COMPLEMENTARY) != 0) add_halves(kernels, plan, first_row, rows, masks);
  if ((plan.transforms & TT_CORRELATED) != 0) {
    add_correlated_sets(kernels, plan, first_row, rows, masks);
  }
}

void dropped_values(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                    int rows, int32_t feature, int groups, uint32_t* bits) {
  DrawJob job =
      make_job(plan, first_row, rows, static_cast<uint32_t>(feature), plan.view, TT_DRAW_VALUE);
  job.positions = groups;
  kernels.events(job, plan.value_below, bits);
}

void dropped_list_rows(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                       int rows, int groups, uint32_t* bits) {
  DrawJob job = make_job(plan, first_row, rows, 0, plan.view, TT_DRAW_LIST);
  job.positions = groups;
  kernels.events(job, plan.list_below, bits);
}

}  // namespace tt::cpu
