// What both losses come down to, and the one function that solves it.
#ifndef TWINTAIL_CPU_LOSS_PROBLEM_H
#define TWINTAIL_CPU_LOSS_PROBLEM_H

#include <cstdint>

#include "context.h"

namespace tt::cpu::loss {

/// loss_i = -s_i,pos(i) + log sum_j exp s_ij with s_ij = inverse_temperature * cos - log_q_j, and the
/// gradients of total = sum_i w_i loss_i. Pointers as in tt_sampled_softmax_args; contents checked.
struct Problem {
  int64_t n, m;
  int d;
  const float* queries;
  const float* candidates;
  const float* log_q;
  float least_log_q, most_log_q;  // 0 without log_q
  const int32_t* positives;
  const int32_t* ids;
  const float* weights;
  double scale;  // w_i = scale * weights[i], or scale where weights is NULL
  float inverse_temperature;
  bool symmetric;  // n == m, no log_q, no positives: the mean of both directions
  int32_t precision;

  float* loss;
  float* log_sum_exp;
  double* total;
  float* grad_queries;
  float* grad_candidates;
  float* grad_inverse_temperature;
  float* grad_log_inverse_temperature;
};

inline bool wants_gradient(const Problem& p) {
  return p.grad_queries != nullptr || p.grad_candidates != nullptr ||
         p.grad_inverse_temperature != nullptr || p.grad_log_inverse_temperature != nullptr;
}

void solve(Context& context, const Problem& problem);

/// Throws TT_BAD_ARGUMENT naming name[i] for the first value that is not finite; NULL is fine.
void check_finite(const char* name, const float* values, int64_t count);

}  // namespace tt::cpu::loss
#endif
