// From sorted lookups to merged gradients: written out, or straight into the weights.
#pragma once

#include <algorithm>
#include <vector>

#include "gather/row_target.h"
#include "gather/runs.h"
#include "gather/zeroed.h"

namespace tt::cuda {

/// Rows [end of the piece before, end) of gradients: one view.
struct GradientPiece {
  const float* first;
  int64_t ld;
  int64_t end;
};

/// Divides 32-bit numbers without a division: x / by = floor(x * ceil(2^64 / by) / 2^64), exact since x and by are below 2^32.
class Divisor {
 public:
  explicit Divisor(uint32_t by = 1) : by_(by), inverse_(~uint64_t{0} / by + 1) {}
  __device__ __forceinline__ uint32_t operator()(uint32_t x) const {
    if (by_ == 1) return x;  // whose inverse does not fit
    const uint64_t low = static_cast<uint64_t>(x) * static_cast<uint32_t>(inverse_) >> 32;
    return static_cast<uint32_t>((x * (inverse_ >> 32) + low) >> 32);
  }

 private:
  uint32_t by_;
  uint64_t inverse_;
};

/// Where the gradient of a bag lies: bag = slot * rows + row, its columns begin at columns[slot].
struct GradientRows {
  const GradientPiece* pieces;  // device
  const int64_t* columns;       // device; NULL: one slot whose columns begin at 0
  const float* scales;          // [bags], or NULL: 1
  int32_t piece_count;
  uint32_t rows;
  Divisor by_rows;

  GradientRows() = default;
  GradientRows(const GradientPiece* all, int32_t count, uint32_t row_count)
      : pieces(all),
        columns(nullptr),
        scales(nullptr),
        piece_count(count),
        rows(row_count),
        by_rows(std::max(row_count, 1u)) {}
};

/// What a merge does with a table: ids and values to write to, or an embedding to update.
struct MergeTarget {
  tt_embedding embedding;
  int32_t* ids;
  float* values;
  uint32_t first_key;
  int64_t id_bound;
  bool aligned;  // everything that the table reads and writes may be read by fours
};

/// Sums the gradients of each run in the order of its lookups and brings it to its table's target.
/// most: a bound of the number of lookups. plan: where targets are updated.
void merge_runs(Context& context, Scope& scope, Zeroed& zeroed, const SortedLookups& lookups,
                int64_t most, const GradientRows& rows, const std::vector<MergeTarget>& targets,
                const OptimizerPlan& plan);

}  // namespace tt::cuda
