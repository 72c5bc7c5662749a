// The tensor-core passes of the fused losses (compute capability 8.0 and up): what they compute, and how
// to launch them. The kernel is in tuned.cuh, with its derivation.
#pragma once

#include "device.h"

namespace tt::cuda::loss::tuned {

// A stationary row x against all moving rows y, cos = x . y of unit rows, in units of log 2:
//   v = scale * cos + addend_x + addend_y; a pair with key_x == key_y is left out (positive, same item)
enum class Mode : int {
  kSum,        // e = 2^v                                     sums, products = sum_y e y
  kOnline,     // e = 2^(v - max v of the row so far)         maxima, sums, products
  kGiven,      // e = 2^v (factor_x + factor_y)               products
  kGivenBoth,  // e = 2^(scale cos + addend_x) factor_x + 2^(scale cos + addend_y) factor_y: products
};

struct Pass {
  const __nv_bfloat16* x;  // [nx, parts, width] from pack
  const __nv_bfloat16* y;  // [ny, parts, width]
  int nx, ny;
  float scale;
  const float* addend_x;  // [nx]
  const float* addend_y;  // [ny]
  const int* key_x;       // [nx]
  const int* key_y;       // [ny]
  const float* factor_x;  // [nx], kGiven and kGivenBoth
  const float* factor_y;  // [ny], kGiven and kGivenBoth
  const int*
      position_y;  // [ny]: the x that is the positive of y (kGiven, kGivenBoth); its key is y's
  const float* positive_y;  // [ny]: the weight e of that pair
  int splits;               // of the moving rows; each writes outputs of its own
  float* sums;              // [splits, nx], kSum and kOnline
  float* maxima;            // [splits, nx], kOnline: -infinity where nothing was left
  float* products;          // [splits, nx, width], or NULL
};

constexpr int kMostWidth = 256;

// The width that d columns are padded to: 32, 64, 96, 128 or 256; 0 where d is too large.
int padded_width(int d);

// Whether a device with so much shared memory a block can run it. parts: 1 (bfloat16) or 3 (float32).
bool fits(int width, int parts, int shared_bytes_per_block);

// Into how many parts to split ny so that `multiprocessors` are busy: depends on sizes alone, and keeps
// splits * nx below a constant times the number of multiprocessors.
int splits_for(int width, int parts, int64_t nx, int64_t ny, int multiprocessors);

// Unit rows of [count, d] as the sum of `parts` bfloat16 numbers, the largest first, columns from d to
// width zero. Rows shorter than 1e-12 become zero. inverse_norm [count], or NULL.
cudaError_t pack(const float* rows, int64_t count, int d, int width, int parts,
                 __nv_bfloat16* packed, float* inverse_norm, cudaStream_t stream);

cudaError_t run(const Pass& pass, Mode mode, int width, int parts, cudaStream_t stream);

// Adds the splits of a pass, in order, into split 0. Maxima (or NULL) become the maximum over all splits.
cudaError_t combine(const Pass& pass, bool online, int width, cudaStream_t stream);

}  // namespace tt::cuda::loss::tuned
