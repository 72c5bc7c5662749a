// A fused softmax of the shape of Twintail's loss, as the proving ground of native/simt: the tests run it
// on the CPU, and nvcc compiles the same source for every architecture.
#pragma once

#include "device.h"

namespace flash {

// Mistakes that can be built in, one at a time.
enum class Bug { kNone, kNoCopyWait, kNoBarrierAfterCopy, kNoBarrierBeforeReuse, kRowTooMany };

struct Problem {
  const __nv_bfloat16* queries;     // [n, d], unit rows
  const __nv_bfloat16* candidates;  // [m, d], unit rows
  const float* log_q;               // [m], natural logarithm
  int n, m, d;                      // d: 64 or 128
  float inverse_temperature;
  float* log_sum;  // [n]     log sum_j exp(s_ij), s_ij = q_i c_j / temperature - log_q_j
  float* mean;     // [n, d]  sum_j softmax(s_i)_j c_j
};
cudaError_t run(const Problem& problem, Bug bug, cudaStream_t stream);

}  // namespace flash
