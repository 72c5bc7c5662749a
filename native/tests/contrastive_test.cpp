#include <gtest/gtest.h>

#include <cmath>

#include "softmax_harness.h"

namespace softmax {
namespace {

class Contrastive : public tt_test::OpTest {
 protected:
  void expect_all_match(Input in) const {
    for (const bool symmetric : {false, true}) {
      in.symmetric = symmetric;
      SCOPED_TRACE(symmetric ? "symmetric" : "one direction");
      Result x = Runner(target()).contrastive(in);
      expect_matches(in, x);
    }
  }
};
TT_ON_ALL_TARGETS(Contrastive);

// x1 = (1, 0), x2 = (0, 2), y1 = (3, 0), y2 = (0, 1), 1 / temperature = ln 3:
//   exp s = [[3, 1], [1, 3]], all sums are 4, both losses and total are ln (4 / 3) in either form.
//   p_12 = p_21 = 1/4 by row and by column, so g_12 = 1/2 * 1/4 in either form, and with respect to
//   x1's direction: ln3 / 8 (y2 - y1 / 3); without its part along x1: (0, ln3 / 8), |x1| = 1.
//   x2: (ln3 / 8, 0) / 2; y1: (0, ln3 / 8) / 3; y2: (ln3 / 8, 0).
//   d/d(1/temperature) = sum_ij g_ij cos_ij = -2 * 1/8.
TEST_P(Contrastive, TwoByTwoByHand) {
  Input in;
  in.n = in.m = 2;
  in.d = 2;
  in.queries = {1, 0, 0, 2};
  in.candidates = {3, 0, 0, 1};
  in.inverse_temperature = std::log(3.0f);
  for (const bool symmetric : {false, true}) {
    in.symmetric = symmetric;
    const Result x = Runner(target()).contrastive(in);
    const double ln3 = std::log(3.0), near = 1e-6;
    EXPECT_NEAR(x.loss[0], std::log(4.0 / 3), near);
    EXPECT_NEAR(x.loss[1], std::log(4.0 / 3), near);
    EXPECT_NEAR(x.total[0], std::log(4.0 / 3), near);
    const double view1[] = {0, ln3 / 8, ln3 / 16, 0};
    const double view2[] = {0, ln3 / 24, ln3 / 8, 0};
    for (size_t k = 0; k < 4; ++k) {
      EXPECT_NEAR(x.grad_queries[k], view1[k], near) << k;
      EXPECT_NEAR(x.grad_candidates[k], view2[k], near) << k;
    }
    EXPECT_NEAR(x.grad_inverse_temperature[0], -0.25, near);
  }
}

TEST_P(Contrastive, OddSizes) {
  std::mt19937 random(fresh_seed() + 20);
  for (const int64_t m : {1, 2, 15, 127, 129, on_cpu() ? 507 : 257}) {
    for (const int d : {1, 20, 64, 123}) {
      if (m > 200 && d % 64 < 2) continue;  // takes long
      SCOPED_TRACE(std::to_string(m) + " x " + std::to_string(d));
      Input in = random_input(random, m, m, d);
      expect_all_match(in);
    }
  }
}

TEST_P(Contrastive, AnyTemperature) {
  std::mt19937 random(fresh_seed() + 21);
  for (const float temperature : {0.001f, 0.01f, 0.0135f, 0.0145f, 0.05f, 0.3f, 1.0f, 20.0f}) {
    SCOPED_TRACE(temperature);
    Input in = random_input(random, 133, 133, 37);
    in.inverse_temperature = 1 / temperature;
    add_weights(random, in);
    expect_all_match(in);
  }
}

TEST_P(Contrastive, DuplicateIdsAndWeights) {
  std::mt19937 random(fresh_seed() + 22);
  for (const int32_t distinct : {1, 2, 30, 200}) {
    for (const float inverse_temperature : {20.0f, 120.0f}) {
      Input in = random_input(random, 141, 141, 25);
      add_ids(random, in, distinct);
      add_weights(random, in);
      in.inverse_temperature = inverse_temperature;
      in.scale = 0.3f;
      expect_all_match(in);
    }
  }
}

TEST_P(Contrastive, ZeroRowsAndEqualRows) {
  std::mt19937 random(fresh_seed() + 23);
  for (const float inverse_temperature : {5.0f, 100.0f}) {
    Input in = random_input(random, 50, 50, 18);
    in.inverse_temperature = inverse_temperature;
    for (const size_t row : {0u, 17u, 49u}) {
      for (size_t k = 0; k < 18; ++k) in.queries[row * 18 + k] = 0;
    }
    for (size_t k = 0; k < 18; ++k) in.candidates[17 * 18 + k] = 0;
    for (size_t row = 30; row < 40; ++row) {
      for (size_t k = 0; k < 18; ++k) {
        in.queries[row * 18 + k] = in.candidates[row * 18 + k] = in.queries[30 * 18 + k];
      }
    }
    expect_all_match(in);
  }
}

// A larger batch than one block of rows, with columns in several turns.
TEST_P(Contrastive, LargerThanABlock) {
  std::mt19937 random(fresh_seed() + 24);
  expect_all_match(random_input(random, 700, 700, 32));
}

TEST_P(Contrastive, EverySetOfOutputs) {
  std::mt19937 random(fresh_seed() + 25);
  for (const float inverse_temperature : {10.0f, 150.0f}) {
    Input in = random_input(random, 43, 43, 20);
    in.inverse_temperature = inverse_temperature;
    for (const bool symmetric : {false, true}) {
      in.symmetric = symmetric;
      const Runner runner(target());
      for (unsigned wanted = 0; wanted <= kAll; ++wanted) {
        if ((wanted & kLogSumExp) != 0) continue;
        SCOPED_TRACE(wanted);
        expect_matches(in, runner.contrastive(in, wanted));
      }
    }
  }
}

// Exchanging the views exchanges the gradients of the symmetric form.
TEST_P(Contrastive, SymmetricFormIsSymmetric) {
  std::mt19937 random(fresh_seed() + 26);
  Input in = random_input(random, 90, 90, 31);
  in.symmetric = true;
  Input exchanged = in;
  std::swap(exchanged.queries, exchanged.candidates);
  const Runner runner(target());
  const Result x = runner.contrastive(in), y = runner.contrastive(exchanged);
  EXPECT_NEAR(x.total[0], y.total[0], 1e-6);
  for (size_t row = 0; row < 90; ++row) {
    // Components may cancel; what is rounded is as large as the row's largest.
    const float* gradient = &x.grad_queries[row * 31];
    double largest = 0;
    for (int k = 0; k < 31; ++k) largest = std::max(largest, std::fabs(double{gradient[k]}));
    for (size_t k = 0; k < 31; ++k) {
      EXPECT_NEAR(gradient[k], y.grad_candidates[row * 31 + k], 1e-5 * largest) << row;
    }
  }
}

TEST_P(Contrastive, SameBitsForAnyNumberOfThreads) {
  std::mt19937 random(fresh_seed() + 27);
  for (const float inverse_temperature : {20.0f, 100.0f}) {
    const int64_t m = on_cpu() ? 650 : 270;  // several tiles
    Input in = random_input(random, m, m, 40);
    add_ids(random, in, 200);
    add_weights(random, in);
    in.inverse_temperature = inverse_temperature;
    for (const bool symmetric : {false, true}) {
      in.symmetric = symmetric;
      const std::string one = Runner(target(), 1).contrastive(in).bits();
      for (const int threads : thread_counts()) {
        const Runner runner(target(), threads);
        for (int repeat = 0; repeat < (on_cpu() ? 3 : 1); ++repeat) {
          ASSERT_EQ(runner.contrastive(in).bits(), one) << threads << " threads";
        }
      }
    }
  }
}

TEST_P(Contrastive, Bfloat16IsNear) {
  std::mt19937 random(fresh_seed() + 28);
  Input in = random_input(random, 150, 150, 64);
  for (const bool symmetric : {false, true}) {
    in.symmetric = symmetric;
    in.precision = TT_FLOAT32;
    const Result exact = Runner(target()).contrastive(in);
    in.precision = TT_BFLOAT16;
    const Result x = Runner(target()).contrastive(in);
    EXPECT_NEAR(x.total[0], exact.total[0], 0.01);
    double error = 0, norm = 0;
    const UnitRows<double> c(in.candidates, in.m, in.d);
    for (size_t i = 0; i < x.grad_candidates.size(); ++i) {
      const double length = 1 / c.inverse[i / 64];
      error += std::pow((x.grad_candidates[i] - exact.grad_candidates[i]) * length, 2);
      norm += std::pow(exact.grad_candidates[i] * length, 2);
    }
    EXPECT_LT(std::sqrt(error / norm), 0.02);
    EXPECT_GT(error, 0) << "the precision makes no difference";
  }
}

TEST(BadContrastive, EveryArgumentIsNamed) {
  const Runner runner;
  const float views[4] = {1, 2, 3, 4};
  float weights[2] = {1, -std::numeric_limits<float>::infinity()};
  double total = 0;
  tt_contrastive_args args{};
  args.struct_size = sizeof args;
  args.d = 2;
  args.m = 2;
  args.view1 = args.view2 = views;
  args.inverse_temperature = 10;
  args.scale = 1;
  args.total = &total;
  const auto expect_bad = [&](const char* argument, const char* got) {
    ASSERT_EQ(tt_contrastive(runner.context(), &args), TT_BAD_ARGUMENT) << argument;
    tt_error error{};
    tt_last_error(&error);
    EXPECT_STREQ(error.argument, argument);
    EXPECT_STREQ(error.got, got);
  };
  ASSERT_EQ(tt_contrastive(runner.context(), &args), TT_OK);
  args.weights = weights;
  expect_bad("weights[1]", "-inf");
  args.weights = nullptr;
  args.symmetric = 2;
  expect_bad("symmetric", "2");
  args.symmetric = 1;
  args.view2 = nullptr;
  expect_bad("view2", "NULL");
  args.view2 = views;
  args.m = 0;
  expect_bad("m", "0");
}

}  // namespace
}  // namespace softmax
