// The passes of the fused losses in plain float32: any d, any device. Rows are packed as float [rows, d].
#pragma once

#include "loss/pass.h"

namespace tt::cuda::loss::plain {

int splits_for(int64_t nx, int64_t ny, int multiprocessors);

// Unit rows of [count, d]; bfloat16: rounded to that. Rows shorter than 1e-12 become zero.
cudaError_t pack(const float* rows, int64_t count, int d, bool bfloat16, float* packed,
                 float* inverse_norm, cudaStream_t stream);

cudaError_t run(const Pass& pass, Mode mode, int d, cudaStream_t stream);

}  // namespace tt::cuda::loss::plain
