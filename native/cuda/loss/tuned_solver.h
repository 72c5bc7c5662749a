// Both losses on the tensor-core passes, from device pointers to device results; see native/include/twintail.h
// for the formulas. No allocation, no synchronisation: all work is put on the stream.
#pragma once

#include "device.h"

namespace tt::cuda::loss::tuned {

// Pointers are device memory, contents checked, as in tt_sampled_softmax_args.
struct Problem {
  int64_t n, m;
  int d;
  const float* queries;
  const float* candidates;
  const float* log_q;             // or NULL
  float least_log_q, most_log_q;  // 0 without log_q; decide between constant and running maximum
  const int32_t* positives;       // or NULL: i
  const int32_t* ids;             // [m] or NULL
  const float* weights;           // or NULL
  double scale;                   // w_i = scale * weights[i], or scale where weights is NULL
  float inverse_temperature;
  bool symmetric;  // n == m, no log_q, no positives: the mean of both directions
  bool bfloat16;   // operands in bfloat16, else float32 in three parts
  float* loss;     // each output or NULL
  float* log_sum_exp;
  double* total;
  float* grad_queries;
  float* grad_candidates;
  float* grad_inverse_temperature;
};

// Whether a device can run it: compute capability * 10, shared memory that a block may ask for.
bool can_solve(const Problem& problem, int capability, int shared_bytes_per_block);

// Device memory that solve wants, 256-byte aligned: O((n + m) d).
size_t workspace_bytes(const Problem& problem, int multiprocessors);

// multiprocessors decides how columns are split: same number, same bits.
cudaError_t solve(const Problem& problem, int multiprocessors, void* workspace,
                  cudaStream_t stream);

}  // namespace tt::cuda::loss::tuned
