// The passes of the fused losses in plain float32: any d, any device. Rows are packed as float [rows, d].
#pragma once

#include "loss/pass.h"
#include "loss/stages.h"

namespace tt::cuda::loss::plain {

int splits_for(int64_t nx, int64_t ny, int multiprocessors);

// Unit rows of both sides as float [rows, d], rounded to bfloat16 where the problem says so; and the facts. Rows shorter
// than 1e-12 become zero. Of the sides only packed and inverse_norm are used.
cudaError_t begin(const Problem& p, const Side& q, const Side& c, Facts* facts,
                  cudaStream_t stream);

cudaError_t run(const Pass& pass, Mode mode, int d, cudaStream_t stream);

}  // namespace tt::cuda::loss::plain
