// The stages around the passes of a loss: one warp a row, everything summed in a fixed order. All put work on the
// stream.
#pragma once

#include "exponent_range.h"
#include "loss/solver.h"

namespace tt::cuda::loss {

constexpr double kLog2E = 1.4426950408889634;

// What is known about all rows at once; written by the device.
struct Facts {
  double largest;  // |w_i|
  double shift;    // of exponents, which are kept in units of log 2
  double scale;    // log2(e) / tau
  int wide;        // the exponents' range is too wide for a constant shift
  float inverse_temperature;
  float pass_scale;                       // scale, for the passes
  unsigned terms_done, projections_done;  // blocks of these kernels that have finished
};

// As on the CPU: unit rows bound every exponent.
__host__ __device__ inline void set_range(Facts& facts, int64_t columns, float inverse_temperature,
                                          double least_log_q, double most_log_q) {
  const double scale = kLog2E * static_cast<double>(inverse_temperature);
  facts.inverse_temperature = inverse_temperature;
  facts.scale = scale;
  facts.pass_scale = static_cast<float>(scale);
  const double most = scale - kLog2E * least_log_q, least = -scale - kLog2E * most_log_q;
  facts.wide = most - least > widest_exponent_range(columns) ? 1 : 0;
  facts.shift = facts.wide != 0 ? 0.0 : -0.5 * (most + least);
}

struct Side {  // queries or candidates
  void* packed;
  float *inverse_norm, *zero, *addend, *factor, *sums, *maxima, *products;
  int* key;
  int splits;
};

struct Memory {
  Side q, c;
  float *bias, *coefficient;
  int* position;
  double *losses, *alongs;  // sums of blocks
  Facts* facts;
};

// After an engine's begin, which finds the facts: keys, biases and what starts as zero.
cudaError_t prepare(const Problem& problem, const Memory& memory, cudaStream_t stream);

// From the sums of the passes, which it adds up over their splits: loss, log-sum-exp, the total, and the factors of both
// gradients.
cudaError_t finish_terms(const Problem& problem, const Memory& memory, cudaStream_t stream);

// From products, which it adds up over their splits, to a gradient: g = products (times factor, plus the positive, for
// directed rows), then through the norm: out = out_factor inverse (g - (g . u) u), u = inverse x.
struct Projection {
  const float* x;  // [count, d]
  const float* inverse_norm;
  float* products;  // [splits, count, width]; written where there are several
  const float*
      maxima;  // [splits, count]: what products are relative to where facts->wide; NULL: to nothing
  const float* factor;       // [count], or NULL: 1, and the products have the positive
  const float* coefficient;  // of the positive, with factor
  const int* position;
  const float* positives;  // [m, d]
  const float* positive_norm;
  float* out;  // [count, d], or NULL
  bool along;  // the temperature's gradient is taken of these rows
  int64_t count;
  int splits;
};
struct Projections {
  Projection queries_and_candidates[2];  // count 0: none
  int width;
};
// The gradients of both sides, and the temperature's.
cudaError_t project(const Problem& problem, const Memory& memory, const Projections& projections,
                    cudaStream_t stream);

// Sums of blocks that either has over so many rows, at the most.
int64_t most_block_sums(int64_t rows);

}  // namespace tt::cuda::loss
