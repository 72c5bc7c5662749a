// The runs of a merge that are longer than a segment.
#pragma once

#include "gather/merge_job.h"

namespace tt::cuda {

LongRuns make_long_runs(Scope& scope, Zeroed& zeroed, int64_t lookups,
                        const std::vector<MergeTarget>& targets);

/// Sums the runs that merge_kernel has noted, and brings them to their targets. dtype: of the weights.
void finish_long_runs(Context& context, const Merge& m, bool aligned, int32_t dtype);

}  // namespace tt::cuda
