// Every bad argument of tt_sampled_softmax is named, with what came.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <limits>

#include "softmax_harness.h"

namespace softmax {
namespace {

class BadSampledSoftmax : public testing::Test {
 protected:
  BadSampledSoftmax() {
    args_.struct_size = sizeof args_;
    args_.n = 3;
    args_.m = 4;
    args_.d = 2;
    args_.queries = queries_;
    args_.candidates = candidates_;
    args_.inverse_temperature = 1;
    args_.scale = 1;
    args_.total = &total_;
  }

  void expect_bad(const char* argument, const char* got) {
    ASSERT_EQ(tt_sampled_softmax(runner_.context(), &args_), TT_BAD_ARGUMENT) << argument;
    tt_error error{};
    tt_last_error(&error);
    EXPECT_STREQ(error.argument, argument);
    EXPECT_STREQ(error.got, got);
    EXPECT_STRNE(error.expected, "");
  }

  Runner runner_;
  float queries_[6] = {1, 2, 3, 4, 5, 6}, candidates_[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  double total_ = 0;
  tt_sampled_softmax_args args_{};
};

TEST_F(BadSampledSoftmax, IsFineToBeginWith) {
  ASSERT_EQ(tt_sampled_softmax(runner_.context(), &args_), TT_OK);
  EXPECT_GT(total_, 0);
}

TEST_F(BadSampledSoftmax, PositiveOutOfRange) {
  int32_t positives[3] = {0, 3, 4};
  args_.positives = positives;
  expect_bad("positives[2]", "4");
  positives[2] = 0;
  positives[1] = -1;
  expect_bad("positives[1]", "-1");
}

TEST_F(BadSampledSoftmax, LogQNotFinite) {
  float log_q[4] = {0, -1, -2, -std::numeric_limits<float>::infinity()};
  args_.log_q = log_q;
  expect_bad("log_q[3]", "-inf");
  log_q[1] = std::numeric_limits<float>::quiet_NaN();
  expect_bad("log_q[1]", "nan");
}

TEST_F(BadSampledSoftmax, WeightNotFinite) {
  const float weights[3] = {1, std::numeric_limits<float>::infinity(), 1};
  args_.weights = weights;
  expect_bad("weights[1]", "inf");
}

TEST_F(BadSampledSoftmax, SizesAndScalars) {
  args_.n = 5;  // more queries than candidates and no positives
  expect_bad("n", "5");
  args_.n = 0;
  expect_bad("n", "0");
  args_.n = 3;
  args_.d = 0;
  expect_bad("d", "0");
  args_.d = 2;
  args_.inverse_temperature = 0;
  expect_bad("inverse_temperature", "0");
  args_.inverse_temperature = std::ldexp(1.0f, 100);
  expect_bad("inverse_temperature", "1.2676506e+30");
  args_.inverse_temperature = 1;
  args_.precision = 2;
  expect_bad("precision", "2");
  args_.precision = 0;
  args_.candidates = nullptr;
  expect_bad("candidates", "NULL");
}

TEST_F(BadSampledSoftmax, GradientOfALearntTemperatureThatIsNotThere) {
  float gradient = 0;
  args_.grad_log_inverse_temperature = &gradient;
  expect_bad("log_inverse_temperature", "NULL");
  const float learnt = 0.5f;
  args_.log_inverse_temperature = &learnt;
  args_.inverse_temperature = -1;  // not read
  EXPECT_EQ(tt_sampled_softmax(runner_.context(), &args_), TT_OK);
}

// A caller built with the header from before learnt temperatures: what lies behind its struct is not ours.
TEST_F(BadSampledSoftmax, StructOfAnOlderHeader) {
  ASSERT_EQ(tt_sampled_softmax(runner_.context(), &args_), TT_OK);
  const double total = total_;
  constexpr int32_t kFirst = offsetof(tt_sampled_softmax_args, log_inverse_temperature);
  args_.struct_size = kFirst;
  const float garbage = 3.0f;
  args_.log_inverse_temperature = &garbage;
  args_.grad_log_inverse_temperature = reinterpret_cast<float*>(1);
  total_ = 0;
  ASSERT_EQ(tt_sampled_softmax(runner_.context(), &args_), TT_OK);
  EXPECT_EQ(total_, total);
  args_.struct_size = kFirst - 1;
  expect_bad("struct_size", std::to_string(kFirst - 1).c_str());
}

}  // namespace
}  // namespace softmax
