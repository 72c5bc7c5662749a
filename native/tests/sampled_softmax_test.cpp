#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "softmax_harness.h"

namespace softmax {
namespace {

class SampledSoftmax : public tt_test::OpTest {
 protected:
  void expect_all_match(const Input& in) const {
    expect_matches(in, Runner(target()).sampled_softmax(in));
  }
};
TT_ON_ALL_TARGETS(SampledSoftmax);

// ---- by hand ---------------------------------------------------------------------------------
//
// q1 = (1, 0), q2 = (0, 2), c1 = (3, 0), c2 = (0, 1): the cosines are the 2 x 2 identity.
// 1 / temperature = ln 3 and p = (1/2, 1/4), so s = [[ln 3 + ln 2, ln 4], [ln 2, ln 3 + ln 4]]:
//   exp s = [[6, 4], [2, 12]], sums 10 and 14.
//   loss_1 = ln (10 / 6), loss_2 = ln (14 / 12), total = (loss_1 + loss_2) / 2.
//   p_12 = 4 / 10, p_21 = 2 / 14.
// With respect to unit vectors, w = 1/2:
//   d/du1 = ln3 / 2 * 0.4 (c2 - c1 / 3) = ln3 (-0.2, 0.2); minus its part along u1, over |q1| = 1:
//           (0, 0.2 ln3)
//   d/du2 = ln3 / 2 * (1/7) (1, -1); without its part along u2, over |q2| = 2: (ln3 / 28, 0)
//   d/dv1 = ln3 / 2 (-0.4 u1 + u2 / 7); without its part along v1, over |c1| = 3: (0, ln3 / 42)
//   d/dv2 = ln3 / 2 (0.4 u1 - u2 / 7); without its part along v2: (0.2 ln3, 0)
//   d/d(1/temperature) = sum_i w_i sum_j (p_ij - [i = j]) cos_ij = (-0.4 - 1/7) / 2 = -19 / 70.
TEST_P(SampledSoftmax, TwoByTwoByHand) {
  Input in;
  in.n = in.m = 2;
  in.d = 2;
  in.queries = {1, 0, 0, 2};
  in.candidates = {3, 0, 0, 1};
  in.log_q = {std::log(0.5f), std::log(0.25f)};
  in.inverse_temperature = std::log(3.0f);
  const Result x = Runner(target()).sampled_softmax(in);
  const double ln3 = std::log(3.0), near = 1e-6;
  EXPECT_NEAR(x.loss[0], std::log(10.0 / 6), near);
  EXPECT_NEAR(x.loss[1], std::log(14.0 / 12), near);
  EXPECT_NEAR(x.log_sum_exp[0], std::log(10.0), near);
  EXPECT_NEAR(x.log_sum_exp[1], std::log(14.0), near);
  EXPECT_NEAR(x.total[0], 0.5 * std::log(35.0 / 18), near);
  const double queries[] = {0, 0.2 * ln3, ln3 / 28, 0};
  const double candidates[] = {0, ln3 / 42, 0.2 * ln3, 0};
  for (size_t k = 0; k < 4; ++k) {
    EXPECT_NEAR(x.grad_queries[k], queries[k], near) << k;
    EXPECT_NEAR(x.grad_candidates[k], candidates[k], near) << k;
  }
  EXPECT_NEAR(x.grad_inverse_temperature[0], -19.0 / 70, near);
}

// The same with a third column that repeats the second one's item: it is no negative of row 2, whose
// sum stays 14; for row 1 it counts: exp s_13 = 1 / p_3 = 5, sum 15.
TEST_P(SampledSoftmax, AccidentalHitByHand) {
  Input in;
  in.n = 2;
  in.m = 3;
  in.d = 2;
  in.queries = {1, 0, 0, 2};
  in.candidates = {3, 0, 0, 1, 0, 7};
  in.log_q = {std::log(0.5f), std::log(0.25f), std::log(0.2f)};
  in.ids = {-5, 9, 9};
  in.inverse_temperature = std::log(3.0f);
  const Result x = Runner(target()).sampled_softmax(in);
  EXPECT_NEAR(x.loss[0], std::log(15.0 / 6), 1e-6);
  EXPECT_NEAR(x.loss[1], std::log(14.0 / 12), 1e-6);
}

// ---- against the reference ---------------------------------------------------------------------

struct Size {
  int64_t n, m;
  int d;
};

TEST_P(SampledSoftmax, OddSizes) {
  std::mt19937 random(fresh_seed());
  for (const Size s : {Size{1, 1, 1},
                       {1, 2, 3},
                       {2, 2, 5},
                       {3, 40, 16},
                       {127, 127, 64},
                       {129, 129, 33},
                       {252, 507, 123},
                       {5, 1000, 20},
                       {85, 1030, 64}}) {
    SCOPED_TRACE(std::to_string(s.n) + " x " + std::to_string(s.m) + " x " + std::to_string(s.d));
    Input in = random_input(random, s.n, s.m, s.d);
    expect_all_match(in);
    add_log_q(random, in);
    add_weights(random, in);
    expect_all_match(in);
  }
}

TEST_P(SampledSoftmax, MoreQueriesThanCandidates) {
  std::mt19937 random(fresh_seed() + 1);
  for (const Size s : {Size{507, 252, 123}, {1000, 3, 17}, {300, 1, 8}}) {
    Input in = random_input(random, s.n, s.m, s.d);
    add_positives(random, in);
    add_log_q(random, in);
    add_ids(random, in, 40);
    expect_all_match(in);
  }
}

TEST_P(SampledSoftmax, AnyWidth) {
  std::mt19937 random(fresh_seed() + 2);
  for (const int d : {1,  2,  3,  7,  8,  9,   15,  16,  17,  31,  32,  47,  48,  49,
                      63, 64, 65, 80, 96, 100, 112, 127, 128, 129, 160, 200, 256, 300}) {
    SCOPED_TRACE(d);
    Input in = random_input(random, 37, 75, d);
    add_log_q(random, in);
    expect_all_match(in);
  }
  // Rows 512 floats apart are padded against cache conflicts.
  expect_all_match(random_input(random, 30, 70, 512));
}

// Both sides of the switch from a constant shift to the rows' own maxima (near 1 / 72 without log_q).
TEST_P(SampledSoftmax, AnyTemperature) {
  std::mt19937 random(fresh_seed() + 3);
  for (const float temperature :
       {0.001f, 0.01f, 0.0135f, 0.014f, 0.02f, 0.05f, 0.2f, 1.0f, 50.0f}) {
    for (const bool with_log_q : {false, true}) {
      SCOPED_TRACE(std::to_string(temperature) + (with_log_q ? " with log_q" : ""));
      Input in = random_input(random, 129, 140, 40);
      in.inverse_temperature = 1 / temperature;
      if (with_log_q) add_log_q(random, in);
      add_ids(random, in, 60);
      add_weights(random, in);
      expect_all_match(in);
    }
  }
}

// Where logits are small nothing hides the error of the exponential: it averages out below 1e-7.
TEST_P(SampledSoftmax, TotalIsAccurateAtHighTemperature) {
  std::mt19937 random(fresh_seed() + 18);
  for (const float inverse_temperature : {0.3f, 1.0f, 3.0f}) {
    Input in = random_input(random, 200, 600, 24);
    in.inverse_temperature = inverse_temperature;
    const double oracle = reference<double>(in).total;
    EXPECT_NEAR(Runner(target()).sampled_softmax(in).total[0], oracle, 1e-7);
  }
}

// Beyond what float can hold around a constant even at a high temperature.
TEST_P(SampledSoftmax, ExtremeLogQ) {
  std::mt19937 random(fresh_seed() + 4);
  Input in = random_input(random, 50, 60, 24);
  add_log_q(random, in);
  in.log_q[7] = -120;
  in.log_q[30] = 200;
  expect_all_match(in);
  for (float& q : in.log_q) q -= 1000;  // a common offset changes nothing but log_sum_exp
  expect_all_match(in);
}

TEST_P(SampledSoftmax, DuplicateIds) {
  std::mt19937 random(fresh_seed() + 5);
  for (const int32_t distinct : {2, 10, 100}) {
    Input in = random_input(random, 130, 160, 32);
    add_ids(random, in, distinct);
    add_log_q(random, in);
    add_positives(random, in);
    expect_all_match(in);
  }
}

// A masked column has to vanish, not to be subtracted: it outweighs the rest of row 50 e^60 times.
// The row's results are those of a problem that does not have the column.
TEST_P(SampledSoftmax, MaskedColumnsVanish) {
  std::mt19937 random(fresh_seed() + 6);
  Input in = random_input(random, 100, 120, 16);
  for (int32_t j = 0; j < 120; ++j) in.ids.push_back(j);
  in.log_q.assign(120, 0.0f);
  in.weights.assign(100, 0.0f);  // the other rows do see the column
  in.weights[50] = 1;
  in.ids[112] = in.ids[50];
  in.log_q[112] = -60;
  Input without = in;
  without.log_q[112] = 0;
  for (size_t k = 0; k < 16; ++k) without.candidates[112 * 16 + k] = 0;
  const Runner runner(target());
  const Result x = runner.sampled_softmax(in), y = runner.sampled_softmax(without);
  EXPECT_NEAR(x.loss[50], reference<double>(in).loss[50], 1e-4);
  EXPECT_NEAR(x.loss[50], y.loss[50], 1e-4);
  const UnitRows<double> q(in.queries, in.n, in.d);
  for (size_t k = 0; k < 16; ++k) {
    EXPECT_NEAR(x.grad_queries[50 * 16 + k] / q.inverse[50],
                y.grad_queries[50 * 16 + k] / q.inverse[50], 1e-3);
    EXPECT_EQ(x.grad_candidates[112 * 16 + k], 0);
  }
}

TEST_P(SampledSoftmax, AllColumnsTheSameItem) {
  std::mt19937 random(fresh_seed() + 7);
  for (const float inverse_temperature : {20.0f, 200.0f}) {
    Input in = random_input(random, 33, 70, 19);
    in.ids.assign(70, 4);
    in.inverse_temperature = inverse_temperature;
    const Result x = Runner(target()).sampled_softmax(in);
    for (const float l : x.loss) EXPECT_EQ(l, 0);
    for (const float g : x.grad_queries) EXPECT_EQ(g, 0);
    for (const float g : x.grad_candidates) EXPECT_EQ(g, 0);
    EXPECT_EQ(x.total[0], 0);
    EXPECT_EQ(x.grad_inverse_temperature[0], 0);
  }
}

TEST_P(SampledSoftmax, ZeroAndTinyAndHugeRows) {
  std::mt19937 random(fresh_seed() + 8);
  Input in = random_input(random, 60, 90, 21);
  const auto set_length = [](std::vector<float>& x, size_t row, double length) {
    double square = 0;
    for (size_t k = 0; k < 21; ++k) square += std::pow(x[row * 21 + k], 2);
    const double factor = length / std::sqrt(square);
    for (size_t k = 0; k < 21; ++k) x[row * 21 + k] = static_cast<float>(x[row * 21 + k] * factor);
  };
  for (const size_t row : {0u, 13u, 59u}) set_length(in.queries, row, 0);
  for (const size_t row : {0u, 14u, 89u}) set_length(in.candidates, row, 0);
  set_length(in.queries, 20, 0.9e-12);  // shorter than 1e-12: counts as zero
  set_length(in.candidates, 21, 1e-10);
  set_length(in.queries, 22, 1e15);
  in.weights.assign(60, 1.0f / 60);
  Input judged = in;  // plain float is not asked to get the threshold right
  set_length(judged.queries, 20, 0);
  const Result x = Runner(target()).sampled_softmax(in);
  expect_matches(judged, x);
  for (size_t k = 0; k < 21; ++k) {
    EXPECT_EQ(x.grad_queries[13 * 21 + k], 0);
    EXPECT_EQ(x.grad_queries[20 * 21 + k], 0);
    EXPECT_EQ(x.grad_candidates[14 * 21 + k], 0);
  }
}

// The cosine does not know a row's length, whose inverse the gradient is times: also where a product with it is beyond float32.
TEST_P(SampledSoftmax, LongRowsOnlyHaveASmallGradient) {
  std::mt19937 random(fresh_seed() + 17);
  Input in = random_input(random, 20, 33, 21);
  constexpr size_t kRow = 5 * 21;
  for (size_t k = 0; k < 21; ++k) in.queries[kRow + k] = std::normal_distribution<float>()(random);
  const Result usual = Runner(target()).sampled_softmax(in);
  const float length = std::ldexp(1.0f, 118);
  for (size_t k = 0; k < 21; ++k) in.queries[kRow + k] *= length;
  const Result x = Runner(target()).sampled_softmax(in);
  EXPECT_EQ(x.total, usual.total);
  EXPECT_EQ(x.grad_candidates, usual.grad_candidates);
  EXPECT_EQ(x.grad_inverse_temperature, usual.grad_inverse_temperature);
  for (size_t k = 0; k < 21; ++k)
    EXPECT_NEAR(x.grad_queries[kRow + k] * length, usual.grad_queries[kRow + k], 1e-6) << k;
}

// loss = log m, and nothing to learn.
TEST_P(SampledSoftmax, AllRowsEqual) {
  std::mt19937 random(fresh_seed() + 9);
  const auto expect_log_m = [&](const std::vector<float>& row, double error, double looser) {
    Input in = random_input(random, 96, 200, static_cast<int>(row.size()));
    for (size_t i = 0; i < in.queries.size(); ++i) in.queries[i] = row[i % row.size()];
    for (size_t j = 0; j < in.candidates.size(); ++j) in.candidates[j] = row[j % row.size()];
    for (const float inverse_temperature : {1.0f, 20.0f, 100.0f}) {
      in.inverse_temperature = inverse_temperature;
      const Result x = Runner(target()).sampled_softmax(in);
      expect_matches(in, x, looser);
      for (const float l : x.loss) {
        EXPECT_NEAR(l, std::log(200.0), error * (4 + inverse_temperature));
      }
    }
  };
  // All scores have the very same rounding error of a sum of 50 floats, sqrt(50) units or so, and the
  // positive's cosine is exact: nothing cancels or averages out.
  expect_log_m(random_input(random, 1, 1, 50).candidates, 8e-7, std::sqrt(50.0) / 2);
  // Components of 1/8: the cosine, 64 / 64, is exact. What is left is the rounding of 1/tau in other units.
  expect_log_m(std::vector<float>(64, 2.0f), 4e-7, 2);
}

// Rows that have learned their positive: losses near 0 keep their relative accuracy.
TEST_P(SampledSoftmax, TinyLossesAreExact) {
  std::mt19937 random(fresh_seed() + 10);
  Input in = random_input(random, 64, 64, 64);  // wide enough that no two directions are alike
  in.queries = in.candidates;
  in.inverse_temperature = 30;
  const Output<double> oracle = reference<double>(in);
  const Result x = Runner(target()).sampled_softmax(in);
  for (size_t i = 0; i < 64; ++i) {
    EXPECT_LT(oracle.loss[i], 1e-3);
    EXPECT_NEAR(x.loss[i] / oracle.loss[i], 1, 5e-5);
  }
}

TEST_P(SampledSoftmax, NegativeScaleAndWeights) {
  std::mt19937 random(fresh_seed() + 11);
  Input in = random_input(random, 45, 61, 30);
  in.scale = -3.5f;
  expect_all_match(in);
  add_weights(random, in);
  in.weights[4] = -2;
  expect_all_match(in);
  in.weights.assign(45, 0.0f);
  const Result x = Runner(target()).sampled_softmax(in);
  EXPECT_EQ(x.total[0], 0);
  for (const float g : x.grad_queries) EXPECT_EQ(g, 0);
  for (const float g : x.grad_candidates) EXPECT_EQ(g, 0);
}

TEST_P(SampledSoftmax, EverySetOfOutputs) {
  std::mt19937 random(fresh_seed() + 12);
  for (const float inverse_temperature : {10.0f, 150.0f}) {
    Input in = random_input(random, 37, 53, 20);
    add_log_q(random, in);
    in.inverse_temperature = inverse_temperature;
    const Runner runner(target());
    for (unsigned wanted = 0; wanted <= kAll; ++wanted) {
      SCOPED_TRACE(wanted);
      expect_matches(in, runner.sampled_softmax(in, wanted));
    }
  }
}

// ---- bits ---------------------------------------------------------------------------------------

TEST_P(SampledSoftmax, SameBitsForAnyNumberOfThreads) {
  std::mt19937 random(fresh_seed() + 15);
  for (const float inverse_temperature : {20.0f, 100.0f}) {
    for (const Size s : {on_cpu() ? Size{700, 650, 48} : Size{280, 260, 48}, {40, 1500, 33}}) {
      Input in = random_input(random, s.n, s.m, s.d);
      add_positives(random, in);
      add_log_q(random, in);
      add_ids(random, in, 200);
      add_weights(random, in);
      in.inverse_temperature = inverse_temperature;
      for (const int32_t precision : {TT_FLOAT32, TT_BFLOAT16}) {
        in.precision = precision;
        const std::string one = Runner(target(), 1).sampled_softmax(in).bits();
        for (const int threads : thread_counts()) {
          const Runner runner(target(), threads);
          for (int repeat = 0; repeat < (on_cpu() ? 3 : 1); ++repeat) {
            ASSERT_EQ(runner.sampled_softmax(in).bits(), one)
                << threads << " threads, precision " << precision;
          }
        }
      }
    }
  }
}

// ---- bfloat16 -------------------------------------------------------------------------------------

// Operands carry 8 bits: each product is off by up to 2^-8 of itself, in its own direction.
TEST_P(SampledSoftmax, Bfloat16IsNear) {
  std::mt19937 random(fresh_seed() + 16);
  for (const int d : {1, 31, 64, 100}) {
    Input in = random_input(random, 150, 170, d);
    add_log_q(random, in, 1e-5);
    add_ids(random, in, 100);
    in.weights.assign(150, 1.0f / 150);
    in.precision = TT_BFLOAT16;
    const Output<double> oracle = reference<double>(in);
    const Result x = Runner(target()).sampled_softmax(in);
    const auto relative = [](const std::vector<float>& a, const std::vector<double>& b,
                             const std::vector<double>& inverse, int width) {
      double error = 0, norm = 0;
      for (size_t i = 0; i < b.size(); ++i) {
        const double length = 1 / inverse[i / static_cast<size_t>(width)];
        error += std::pow((a[i] - b[i]) * length, 2);
        norm += std::pow(b[i] * length, 2);
      }
      return std::sqrt(error / norm);
    };
    if (d == 1) continue;  // nothing to learn in one dimension; it only has to run
    const UnitRows<double> q(in.queries, in.n, d), c(in.candidates, in.m, d);
    EXPECT_LT(relative(x.grad_queries, oracle.grad_queries, q.inverse, d), 0.02);
    EXPECT_LT(relative(x.grad_candidates, oracle.grad_candidates, c.inverse, d), 0.02);
    EXPECT_NEAR(x.total[0], oracle.total, 0.01);
    EXPECT_NE(x.bits(), [&] {
      Input exact = in;
      exact.precision = TT_FLOAT32;
      return Runner(target()).sampled_softmax(exact).bits();
    }()) << "the precision makes no difference";
  }
}

// ---- NaN stays visible -----------------------------------------------------------------------------

TEST_P(SampledSoftmax, NanReachesEveryLossItTouches) {
  std::mt19937 random(fresh_seed() + 17);
  for (const float inverse_temperature : {20.0f, 150.0f}) {
    Input in = random_input(random, 40, 50, 10);
    in.inverse_temperature = inverse_temperature;
    in.queries[7 * 10 + 3] = std::numeric_limits<float>::quiet_NaN();
    const Result x = Runner(target()).sampled_softmax(in);
    EXPECT_TRUE(std::isnan(x.loss[7]));
    EXPECT_FALSE(std::isnan(x.loss[8]));
    EXPECT_TRUE(std::isnan(x.total[0]));
    EXPECT_TRUE(std::isnan(x.grad_queries[7 * 10]));
  }
}

// All columns as high as a constant shift lets them be, and more of them than 2^24: their sum is no float any more, so
// maxima are to be kept there.
TEST_P(SampledSoftmax, MoreColumnsThanAConstantShiftHasRoomFor) {
  const Runner runner(target());
  if (runner.device_name().rfind("simt", 0) == 0)
    GTEST_SKIP() << "takes minutes where a CPU runs the kernels";
  Input in;
  in.n = 1;
  in.m = (int64_t{1} << 24) + (int64_t{1} << 22);
  in.d = 1;
  in.queries = {1.0f};
  in.candidates.assign(static_cast<size_t>(in.m), 1.0f);
  in.inverse_temperature = 72.05f;  // 2 / tau in units of log 2: 207.9
  const Result got = runner.sampled_softmax(in, kLoss);
  EXPECT_NEAR(got.loss[0], std::log(static_cast<double>(in.m)), 1e-4);
}

}  // namespace
}  // namespace softmax
