// The first kernel of a loss: unit rows of both sides as an engine packs them, and beside them what is known about all
// rows at once.
#pragma once

#include <cfloat>
#include <cmath>

#include "loss/rows.cuh"
#include "loss/stages.h"

namespace tt::cuda::loss {

constexpr int kBeginThreads = 512;

struct Most {
  __device__ double operator()(double a, double b) const { return fmax(a, b); }
};

// A block combines a number of each thread, in a fixed order; the same in each thread.
template <int kThreads, class Combine>
__device__ double block_reduce(double value, Combine combine) {
  TT_SHARED(double, warps, [kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
    value = combine(value, __shfl_xor_sync(0xffffffffu, value, step));
  __syncthreads();  // warps may still be read
  if (thread % 32 == 0) warps[thread / 32] = value;
  __syncthreads();
  value = warps[0];
  for (int w = 1; w < kThreads / 32; w++) value = combine(value, warps[w]);
  return value;
}

// One block.
__device__ __forceinline__ void find_facts(const Problem& p, Facts* facts) {
  double largest = p.weights != nullptr ? 0.0 : 1.0;
  double least = p.log_q != nullptr ? INFINITY : 0.0, most = p.log_q != nullptr ? -INFINITY : 0.0;
  if (p.weights != nullptr) {
#pragma unroll 8
    for (int64_t i = threadIdx.x; i < p.n; i += kBeginThreads)
      largest = fmax(largest, fabs(static_cast<double>(p.weights[i])));
  }
  if (p.log_q != nullptr) {
#pragma unroll 8
    for (int64_t j = threadIdx.x; j < p.m; j += kBeginThreads) {
      least = fmin(least, static_cast<double>(p.log_q[j]));
      most = fmax(most, static_cast<double>(p.log_q[j]));
    }
  }
  largest = block_reduce<kBeginThreads>(largest, Most());
  least = -block_reduce<kBeginThreads>(-least, Most());
  most = block_reduce<kBeginThreads>(most, Most());
  if (threadIdx.x != 0) return;
  facts->largest = fabs(p.scale) * largest;
  facts->terms_done = facts->projections_done = 0;
  float inverse_temperature = p.inverse_temperature;
  if (p.log_inverse_temperature != nullptr) {
    inverse_temperature = static_cast<float>(exp(static_cast<double>(*p.log_inverse_temperature)));
    // None of float32: a batch of one pair would not show it, whose loss is the same at any other.
    if (!(inverse_temperature > 0.0f && inverse_temperature <= FLT_MAX)) inverse_temperature = NAN;
  }
  set_range(*facts, p.m, inverse_temperature, least, most);
}

// The rows of a side, for an engine's Packer.
struct Rows {
  const float* from;  // [count, d]
  int64_t count;
  int d;
  float* inverse_norm;  // [count]

  __device__ const float* at(int64_t row) const { return from + row * d; }
  // One over the row's length, in each lane of a warp; noted, too.
  __device__ float note_inverse(int64_t row) const {
    const float inverse = inverse_length(at(row), d);
    if (ptx::lane_id() == 0) inverse_norm[row] = inverse;
    return inverse;
  }
};

// A block for the facts, then a warp a row. Packer: rows() of a side, and what a warp does with one of them.
template <class Packer>
__global__ void __launch_bounds__(kBeginThreads)
    begin_kernel(Packer q, Packer c, Problem p, Facts* facts) {
  if (blockIdx.x == 0) return find_facts(p, facts);
  const int64_t row = (static_cast<int64_t>(blockIdx.x - 1) * kBeginThreads + threadIdx.x) / 32;
  const int64_t queries = q.rows();
  if (row < queries)
    q(row);
  else if (row - queries < c.rows())
    c(row - queries);
}

template <class Packer>
cudaError_t begin_with(const Packer& q, const Packer& c, const Problem& p, Facts* facts,
                       cudaStream_t stream) {
  constexpr int kRows = kBeginThreads / 32;
  const int64_t blocks = 1 + (q.rows() + c.rows() + kRows - 1) / kRows;
  return TT_LAUNCH((begin_kernel<Packer>), dim3(static_cast<unsigned>(blocks)), dim3(kBeginThreads),
                   0, stream, q, c, p, facts);
}

}  // namespace tt::cuda::loss
