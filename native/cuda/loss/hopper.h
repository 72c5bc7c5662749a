// The passes of the fused losses for compute capability 9.0 (sm_90a): wgmma, bulk copies, warps of their own for loading.
// bfloat16 operands, d up to 128. No GPU has run them yet, so they are used where TWINTAIL_CUDA_KERNELS=hopper asks
// for them only.
#pragma once

#include "loss/pass.h"
#include "loss/stages.h"

namespace tt::cuda::loss::hopper {

// Whether this build has them; a device must be of capability 9.0 besides.
bool built();

// The width that d columns are padded to: 64 or 128; 0 where d is too large.
int padded_width(int d);

// Rows are packed in tiles of so many, the last one filled up with zeros.
constexpr int kTileRows = 128;
__host__ __device__ constexpr int64_t padded_rows(int64_t rows) {
  return (rows + kTileRows - 1) / kTileRows * kTileRows;
}

int splits_for(int64_t nx, int64_t ny, int multiprocessors);

// Unit rows of both sides as bfloat16 in tiles, as the kernel wants them in shared memory; and the facts. Rows shorter
// than 1e-12 become zero. Of the sides only packed and inverse_norm are used.
cudaError_t begin(const Problem& p, const Side& q, const Side& c, int width, Facts* facts,
                  cudaStream_t stream);

// All arrays of [ny] must be readable up to padded_rows(ny).
cudaError_t run(const Pass& pass, Mode mode, int width, cudaStream_t stream);

}  // namespace tt::cuda::loss::hopper
