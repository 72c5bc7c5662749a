// tt_sampled_softmax with a temperature that lies on the device.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "softmax_harness.h"

namespace softmax {
namespace {

class LearntTemperature : public tt_test::OpTest {};
TT_ON_ALL_TARGETS(LearntTemperature);

// From temperatures whose exponents have a constant shift to those whose rows keep maxima: the host does not know which.
TEST_P(LearntTemperature, BitsOfTheSameTemperatureByValue) {
  std::mt19937 random(fresh_seed());
  const Runner runner(target());
  for (const int32_t precision : {TT_FLOAT32, TT_BFLOAT16}) {
    for (const float tau : {1.0f, 0.07f, 0.012f, 0.003f}) {
      for (const bool corrected : {false, true}) {
        Input in = random_input(random, 70, 131, 24);
        in.precision = precision;
        add_ids(random, in, 90);
        if (corrected) add_log_q(random, in);
        const float learnt = -std::log(tau);
        in.inverse_temperature = static_cast<float>(std::exp(static_cast<double>(learnt)));
        const Result by_value = runner.sampled_softmax(in);
        in.log_inverse_temperature = {learnt};
        const float value = in.inverse_temperature;
        in.inverse_temperature = std::numeric_limits<float>::quiet_NaN();  // not to be read
        const Result by_pointer = runner.sampled_softmax(in);
        EXPECT_EQ(by_pointer.bits(), by_value.bits()) << "tau " << tau << ", log q " << corrected;
        const float gradient = by_value.grad_inverse_temperature[0] * value;
        EXPECT_NEAR(by_pointer.grad_log_inverse_temperature[0], gradient,
                    3e-7 * std::fabs(gradient));
      }
    }
  }
}

// The loss as a function of log 1/tau, by central differences in float64.
TEST_P(LearntTemperature, GradientOfTheLogarithm) {
  std::mt19937 random(fresh_seed());
  Input in = random_input(random, 33, 40, 16);
  add_log_q(random, in, 1e-3);
  add_weights(random, in);
  const double at = std::log(8.0);
  in.log_inverse_temperature = {static_cast<float>(at)};
  const Result got = Runner(target()).sampled_softmax(in, kGradTemperature);
  const auto total = [&](double log_inverse) {
    Input moved = in;
    moved.inverse_temperature = static_cast<float>(std::exp(log_inverse));
    return reference<double>(moved).total;
  };
  const double step = 0.001, difference = (total(at + step) - total(at - step)) / (2 * step);
  EXPECT_NEAR(got.grad_log_inverse_temperature[0], difference,
              2e-4 * std::max(1.0, std::fabs(difference)));
}

TEST_P(LearntTemperature, NotFiniteMakesResultsNotFinite) {
  std::mt19937 random(fresh_seed());
  const float infinity = std::numeric_limits<float>::infinity();
  for (const Input& batch : {random_input(random, 20, 30, 16), random_input(random, 1, 1, 16)}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity, 100.0f, -200.0f}) {
      Input in = batch;
      in.log_inverse_temperature = {bad};
      const Result got = Runner(target()).sampled_softmax(in);
      EXPECT_FALSE(std::isfinite(got.total[0])) << bad;
      EXPECT_FALSE(std::isfinite(got.grad_log_inverse_temperature[0])) << bad;
    }
  }
}

}  // namespace
}  // namespace softmax
