// sampled_softmax's gradients against central differences: of the reference, and of the op's own total.
#include <gtest/gtest.h>

#include <cmath>

#include "softmax_harness.h"

namespace softmax {
namespace {

class SampledSoftmaxDifferences : public tt_test::OpTest {};
TT_ON_ALL_TARGETS(SampledSoftmaxDifferences);

// Of the reference itself, so that oracle and kernels do not share a mistake.
TEST(SampledSoftmaxReference, AgreesWithCentralDifferences) {
  std::mt19937 random(fresh_seed() + 13);
  Input in = random_input(random, 5, 7, 4);
  add_log_q(random, in, 1e-2);
  add_positives(random, in);
  add_ids(random, in, 4);
  add_weights(random, in);
  for (auto* side : {&in.queries, &in.candidates}) {
    // Steps of 2^-10 are exact in float; no short rows, where a step is a leap, and no long ones, where it is nothing.
    for (float& x : *side) {
      x = std::remainder(x, 64.0f);
      x = std::round((x > 0 ? x + 1 : x - 1) * 64) / 64;
    }
  }
  in.inverse_temperature = 2;
  const Output<double> oracle = reference<double>(in);
  const float step = std::ldexp(1.0f, -10);
  const auto check = [&](float& x, double gradient, double curvature) {
    const float before = x;
    x = before + step;
    const double up = reference<double>(in).total;
    x = before - step;
    const double down = reference<double>(in).total;
    x = before;
    EXPECT_NEAR((up - down) / (2.0 * static_cast<double>(step)), gradient, curvature * 1e-5);
  };
  const UnitRows<double> q(in.queries, in.n, in.d), c(in.candidates, in.m, in.d);
  for (size_t i = 0; i < in.queries.size(); ++i) {
    const double inverse = 1 + q.inverse[i / 4];
    check(in.queries[i], oracle.grad_queries[i], inverse * inverse * inverse);
  }
  for (size_t i = 0; i < in.candidates.size(); ++i) {
    const double inverse = 1 + c.inverse[i / 4];
    check(in.candidates[i], oracle.grad_candidates[i], inverse * inverse * inverse);
  }
  check(in.inverse_temperature, oracle.grad_inverse_temperature, 1);
}

TEST_P(SampledSoftmaxDifferences, AgreeWithGradients) {
  std::mt19937 random(fresh_seed() + 14);
  Input in = random_input(random, 6, 9, 5);
  for (float& x : in.queries) x = x > 0 ? x + 1 : x - 1;  // no short rows, where a step is a leap
  for (float& x : in.candidates) x = x > 0 ? x + 1 : x - 1;
  add_log_q(random, in, 1e-2);
  in.inverse_temperature = 2;
  const Runner runner(target());
  const Result x = runner.sampled_softmax(in);
  const auto check = [&](float& value, float gradient, float step) {
    const float before = value;
    value = before + step;
    const double up = runner.sampled_softmax(in, kTotal).total[0];
    value = before - step;
    const double down = runner.sampled_softmax(in, kTotal).total[0];
    value = before;
    EXPECT_NEAR((up - down) / (2.0 * static_cast<double>(step)), gradient, 2e-4);
  };
  for (size_t i = 0; i < in.queries.size(); i += 3) {
    check(in.queries[i], x.grad_queries[i], 0.01f);
  }
  for (size_t i = 0; i < in.candidates.size(); i += 3) {
    check(in.candidates[i], x.grad_candidates[i], 0.01f);
  }
  check(in.inverse_temperature, x.grad_inverse_temperature[0], 0.01f);
}

}  // namespace
}  // namespace softmax
