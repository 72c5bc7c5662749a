// What augmentation.h decides about one row, for a chunk of consecutive batch rows at once.
#ifndef TWINTAIL_CPU_ROW_DRAWS_H
#define TWINTAIL_CPU_ROW_DRAWS_H

#include "augmentation.h"
#include "draw_kernels.h"

namespace tt::cpu {

/// masks [rows]: the features masked as a whole. rows <= kDrawRows.
void feature_masks(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                   int rows, uint64_t* masks);

/// Positions whose events fit in the bits of one row.
constexpr int64_t kDrawnPositions = 4 * kDrawPositions;

/// bits [rows]: bit p is set where the value at position p < 4 * groups is dropped.
void dropped_values(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                    int rows, int32_t feature, int groups, uint32_t* bits);

/// The same for positions of the rows' lists.
void dropped_list_rows(const DrawKernels& kernels, const AugmentationPlan& plan, uint32_t first_row,
                       int rows, int groups, uint32_t* bits);

}  // namespace tt::cpu
#endif
