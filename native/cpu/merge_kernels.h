// The arithmetic behind sparse gradients: sums of gradient rows over runs of one embedding id, and the
// optimisers' steps on embedding rows. Compiled once per instruction set, same bits on each.
#ifndef TWINTAIL_CPU_MERGE_KERNELS_H
#define TWINTAIL_CPU_MERGE_KERNELS_H

#include <stdint.h>

#include "optimizer_plan.h"

namespace tt::cpu {

/// A lookup: embedding id << 32 | bag. The bag tells whose gradient flows there:
/// bag = global row << slot_bits | slot.
using Lookup = uint64_t;
inline Lookup make_lookup(int32_t id, uint32_t bag) {
  return static_cast<uint64_t>(static_cast<uint32_t>(id)) << 32 | bag;
}
inline int32_t lookup_id(Lookup lookup) {
  return static_cast<int32_t>(lookup >> 32);
}

/// Global rows [begin, end) are the rows of one matrix.
struct GradientPiece {
  const float* first;  // the row of global row `begin`
  int64_t ld;
  int64_t begin, end;
};

/// Where the gradients of one embedding table's bags are.
struct GradientRows {
  const GradientPiece* pieces;  // all global rows, in order
  int64_t second_begin;         // of the second piece; beyond all rows where there is one
  int32_t slot_bits;
  const int64_t* columns;  // [1 << slot_bits]
  const float* scales;     // [global rows << slot_bits], or NULL: 1
};

/// Where merged gradients go: written out (ids != NULL), or into the weights.
struct MergeTarget {
  int32_t* ids;
  float* values;
  OptimizerPlan plan;
  void* weights;
  float* state1;
  float* state2;
  int32_t dtype;
};

struct MergeJob {
  GradientRows rows;
  int32_t dim;
  MergeTarget target;
};

/// Runs longer than this are summed in segments of this length, which are then added in order: the
/// split depends on nothing but the run.
constexpr int64_t kSegment = 512;

/// Lookups may be read (but not followed) this far behind a job's last one.
constexpr int kLookupReadAhead = 24;

struct DenseJob {
  OptimizerPlan plan;
  float* parameters;
  const float* gradients;
  float* state1;
  float* state2;
  int64_t count;
};

struct MergeKernels {
  /// Sums the gradients of `count` lookups in order into sum [dim].
  void (*sum)(const MergeJob& job, const Lookup* lookups, int64_t count, float* sum);
  /// Merges the runs of sorted lookups of at most kSegment and hands each to the target; longer runs are
  /// left out, but counted. first_run: where the target's ids and values begin. scratch: [dim].
  void (*merge)(const MergeJob& job, const Lookup* lookups, int64_t count, int64_t first_run,
                float* scratch);
  /// Hands one merged gradient [dim] to the target.
  void (*finish)(const MergeJob& job, int32_t id, int64_t run, const float* gradient);
  /// total [dim] = the sum of `count` rows of `stride` floats, in order.
  void (*add_rows)(const float* rows, int64_t stride, int64_t count, int32_t dim, float* total);
  void (*dense)(const DenseJob& job);
};

extern const MergeKernels kMergePortable;
extern const MergeKernels kMergeAvx2;
extern const MergeKernels kMergeAvx512;

}  // namespace tt::cpu
#endif
