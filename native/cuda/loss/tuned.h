// The tensor-core passes of the fused losses (compute capability 8.0 and up). Rows are packed as bfloat16
// [rows, parts, width]. The kernel is in tuned.cuh, with its derivation.
#pragma once

#include "loss/pass.h"
#include "loss/stages.h"

namespace tt::cuda::loss::tuned {

constexpr int kMostWidth = 256;

// The width that d columns are padded to: 32, 64, 96, 128 or 256; 0 where d is too large.
int padded_width(int d);

// Whether a device with so much shared memory a block can run it. parts: 1 (bfloat16) or 3 (float32).
bool fits(int width, int parts, int shared_bytes_per_block);

// Into how many parts to split ny so that `multiprocessors` are busy: balanced_splits.
int splits_for(int width, int parts, int64_t nx, int64_t ny, int multiprocessors);

// Unit rows of both sides, each as the sum of `parts` bfloat16 numbers, the largest first, columns from d to width zero;
// and the facts. Rows shorter than 1e-12 become zero. Of the sides only packed and inverse_norm are used.
cudaError_t begin(const Problem& p, const Side& q, const Side& c, int width, int parts,
                  Facts* facts, cudaStream_t stream);

cudaError_t run(const Pass& pass, Mode mode, int width, int parts, cudaStream_t stream);

}  // namespace tt::cuda::loss::tuned
