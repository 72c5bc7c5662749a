// tt_sampled_softmax on the CPU: looks at the contents of its arguments and hands on.
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <limits>

#include "context.h"
#include "problem.h"

namespace tt::cpu {
namespace loss {

void check_finite(const char* name, const float* values, int64_t count) {
  if (values == nullptr) return;
  for (int64_t i = 0; i < count; ++i) {
    if (!(std::fabs(values[i]) <= FLT_MAX)) {
      bad_argument(format("%s[%lld]", name, static_cast<long long>(i)), "a finite number",
                   static_cast<double>(values[i]));
    }
  }
}

}  // namespace loss

namespace {

void check_positives(const int32_t* positives, int64_t n, int64_t m) {
  if (positives == nullptr) return;
  for (int64_t i = 0; i < n; ++i) {
    if (positives[i] < 0 || positives[i] >= m) {
      bad_argument(format("positives[%lld]", static_cast<long long>(i)),
                   format("an index in [0, %lld)", static_cast<long long>(m)),
                   static_cast<int64_t>(positives[i]));
    }
  }
}

/// NaN where float32 has no such temperature: a batch of one pair has the same loss at any other.
float learnt_inverse_temperature(float logarithm) {
  const auto value = static_cast<float>(std::exp(static_cast<double>(logarithm)));
  return value > 0 && std::isfinite(value) ? value : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace

void sampled_softmax(Context& context, const tt_sampled_softmax_args& args) {
  check_positives(args.positives, args.n, args.m);
  loss::check_finite("log_q", args.log_q, args.m);
  loss::check_finite("weights", args.weights, args.n);
  loss::Problem p{};
  p.n = args.n;
  p.m = args.m;
  p.d = args.d;
  p.queries = args.queries;
  p.candidates = args.candidates;
  p.log_q = args.log_q;
  if (args.log_q != nullptr) {
    const auto ends = std::minmax_element(args.log_q, args.log_q + args.m);
    p.least_log_q = *ends.first;
    p.most_log_q = *ends.second;
  }
  p.positives = args.positives;
  p.ids = args.candidate_ids;
  p.weights = args.weights;
  p.scale = args.weights != nullptr ? args.scale
                                    : static_cast<double>(args.scale) / static_cast<double>(args.n);
  p.inverse_temperature = args.log_inverse_temperature != nullptr
                              ? learnt_inverse_temperature(*args.log_inverse_temperature)
                              : args.inverse_temperature;
  p.precision = args.precision;
  p.loss = args.loss;
  p.log_sum_exp = args.log_sum_exp;
  p.total = args.total;
  p.grad_queries = args.grad_queries;
  p.grad_candidates = args.grad_candidates;
  p.grad_inverse_temperature = args.grad_inverse_temperature;
  p.grad_log_inverse_temperature = args.grad_log_inverse_temperature;
  loss::solve(context, p);
}

}  // namespace tt::cpu
