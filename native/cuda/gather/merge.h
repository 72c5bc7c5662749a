// From sorted lookups to merged gradients: written out, or straight into the weights.
#pragma once

#include <vector>

#include "gather/row_target.h"
#include "gather/runs.h"

namespace tt::cuda {

/// Rows [end of the piece before, end) of gradients: one view.
struct GradientPiece {
  const float* first;
  int64_t ld;
  int64_t end;
};

/// Where the gradient of a bag lies: bag = slot * rows + row, its columns begin at columns[slot].
struct GradientRows {
  const GradientPiece* pieces;  // device
  const int64_t* columns;       // device; NULL: one slot whose columns begin at 0
  const float* scales;          // [bags], or NULL: 1
  int32_t piece_count;
  uint32_t rows;
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
void merge_runs(Context& context, Scope& scope, const SortedLookups& lookups, int64_t most,
                const GradientRows& rows, const std::vector<MergeTarget>& targets,
                const OptimizerPlan& plan);

}  // namespace tt::cuda
