// A pass of the fused losses: one side's rows against all rows of the other. Two engines run it: tuned.h
// (tensor cores) and plain.h (readable, any d, any device; the oracle of the first).
#pragma once

#include "device.h"

namespace tt::cuda::loss {

// A stationary row x against all moving rows y, cos = x . y of unit rows, in units of log 2:
//   v = scale * cos + addend_y; a pair with key_x == key_y is left out (positive, same item)
enum class Mode : int {
  kSum,        // e = 2^v                                     sums, products = sum_y e y
  kOnline,     // e = 2^(v - max v of the row so far)         maxima, sums, products
  kGiven,      // e = 2^(v + addend_x) factor_y               products
  kGivenSum,   // e = 2^v (factor_x + factor_y)               products
  kGivenBoth,  // e = 2^(scale cos + addend_x) factor_x + 2^(scale cos + addend_y) factor_y: products
};

template <Mode kMode>
constexpr bool kGradient = kMode != Mode::kSum&& kMode != Mode::kOnline;

// Whether exponents need a running maximum may be known to the device only: both passes are launched
// then, and one of them does nothing.
struct Condition {
  const int* flag;  // or NULL: run
  int value;        // run if *flag == value
  __device__ bool holds() const { return flag == nullptr || *flag == value; }
};

struct Pass {
  const void* x;  // [nx] rows, as the engine packs them
  const void* y;  // [ny] rows
  int nx, ny;
  const float* scale;     // [1]: log2(e) / tau
  const float* addend_x;  // [nx], kGiven and kGivenBoth
  const float* addend_y;  // [ny]
  const int* shifted;  // kGiven: 0 if addend_y are all zero, which saves work; NULL: they are not
  const int* key_x;    // [nx]
  const int* key_y;    // [ny]
  const float* factor_x;  // [nx], kGivenSum and kGivenBoth
  const float* factor_y;  // [ny], all three kGiven
  const int*
      position_y;  // [ny]: the x that is the positive of y (all three kGiven); its key is y's
  const float* positive_y;  // [ny]: the weight e of that pair
  int splits;               // of the moving rows; each writes outputs of its own
  float* sums;              // [splits, nx], kSum and kOnline
  float* maxima;            // [splits, nx], kOnline: -infinity where nothing was left
  float* products;          // [splits, nx, width], or NULL
  Condition condition;
};

// Into how many parts to split the moving rows, up to `most`, so that `slots` blocks that run at a time are busy to the
// end: the fewest that leave a twentieth of them idle at most, else the best. Depends on sizes alone. All splits
// together have at most the rows of `slots` blocks and 8 nx more.
int balanced_splits(int64_t blocks, int64_t slots, int64_t most);

}  // namespace tt::cuda::loss
