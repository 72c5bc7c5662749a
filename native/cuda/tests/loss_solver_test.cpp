// The whole losses on the engines that take float32, by the judge and the oracle of the ops' own tests.
#include <algorithm>
#include <cmath>

#include "loss_solve.h"

namespace {

using namespace tt::cuda::loss;
using namespace loss_test;

class LossSolver : public testing::TestWithParam<Engine> {};
INSTANTIATE_TEST_SUITE_P(All, LossSolver, testing::Values(Engine::kPlain, Engine::kTensorCores),
                         [](const auto& parameter) {
                           return parameter.param == Engine::kPlain ? "Plain" : "TensorCores";
                         });

TEST_P(LossSolver, OddSizes) {
  std::mt19937 random(1);
  for (const Size s : {Size{1, 1, 1},
                       {1, 2, 3},
                       {2, 2, 5},
                       {127, 127, 64},
                       {129, 129, 33},
                       {252, 307, 123},
                       {85, 600, 200}}) {
    SCOPED_TRACE(std::to_string(s.n) + " x " + std::to_string(s.m) + " x " + std::to_string(s.d));
    Input in = softmax::random_input(random, s.n, s.m, s.d);
    expect_matches(in, solve(GetParam(), in));
    add_log_q(random, in);
    add_weights(random, in);
    expect_matches(in, solve(GetParam(), in));
  }
}

TEST_P(LossSolver, DuplicateIdsAndManyQueriesOfOneCandidate) {
  std::mt19937 random(2);
  for (const Size s : {Size{130, 160, 32}, {300, 52, 24}, {100, 1, 8}}) {
    for (const int distinct : {2, 40}) {
      Input in = softmax::random_input(random, s.n, s.m, s.d);
      add_positives(random, in);
      add_ids(random, in, distinct);
      add_log_q(random, in);
      expect_matches(in, solve(GetParam(), in));
    }
  }
}

// Both sides of the switch from a constant shift to the rows' maxima.
TEST_P(LossSolver, AnyTemperature) {
  std::mt19937 random(3);
  for (const bool symmetric : {false, true}) {
    for (const float temperature : {0.001f, 0.01f, 0.0135f, 0.02f, 0.05f, 1.0f, 50.0f}) {
      SCOPED_TRACE(temperature);
      Input in = softmax::random_input(random, 129, 129, 40);
      in.symmetric = symmetric;
      in.inverse_temperature = 1 / temperature;
      if (!symmetric) add_log_q(random, in);
      add_ids(random, in, 60);
      add_weights(random, in);
      expect_matches(in, solve(GetParam(), in));
    }
  }
}

TEST_P(LossSolver, Symmetric) {
  std::mt19937 random(4);
  for (const int m : {1, 2, 63, 130}) {
    Input in = softmax::random_input(random, m, m, 64);
    in.symmetric = true;
    expect_matches(in, solve(GetParam(), in));
  }
}

TEST_P(LossSolver, ZeroRowsHaveNoGradient) {
  std::mt19937 random(5);
  Input in = softmax::random_input(random, 60, 90, 21);
  for (const std::size_t row : {0u, 13u, 59u}) std::fill_n(&in.queries[row * 21], 21, 0.0f);
  for (const std::size_t row : {0u, 14u, 89u}) std::fill_n(&in.candidates[row * 21], 21, 0.0f);
  expect_matches(in, solve(GetParam(), in));
}

TEST_P(LossSolver, AllColumnsTheSameItem) {
  std::mt19937 random(6);
  for (const float inverse_temperature : {20.0f, 200.0f}) {
    Input in = softmax::random_input(random, 33, 70, 19);
    in.ids.assign(70, 4);
    in.inverse_temperature = inverse_temperature;
    const Result x = solve(GetParam(), in);
    for (const float l : x.loss) EXPECT_EQ(l, 0);
    for (const float g : x.grad_queries) EXPECT_EQ(g, 0);
    for (const float g : x.grad_candidates) EXPECT_EQ(g, 0);
  }
}

TEST_P(LossSolver, EverySetOfOutputs) {
  std::mt19937 random(7);
  for (const bool symmetric : {false, true}) {
    Input in = softmax::random_input(random, 37, 37, 20);
    in.symmetric = symmetric;
    for (unsigned wanted = 0; wanted <= softmax::kAll; wanted++) {
      SCOPED_TRACE(wanted);
      expect_matches(in, solve(GetParam(), in, wanted));
    }
  }
}

TEST_P(LossSolver, NegativeScaleAndZeroWeights) {
  std::mt19937 random(8);
  Input in = softmax::random_input(random, 45, 61, 30);
  in.scale = -3.5f;
  expect_matches(in, solve(GetParam(), in));
  in.weights.assign(45, 0.0f);
  const Result x = solve(GetParam(), in);
  EXPECT_EQ(x.total[0], 0);
  for (const float g : x.grad_queries) EXPECT_EQ(g, 0);
  for (const float g : x.grad_candidates) EXPECT_EQ(g, 0);
}

// Losses near 0 keep their relative accuracy.
TEST_P(LossSolver, TinyLossesAreExact) {
  std::mt19937 random(9);
  Input in = softmax::random_input(random, 64, 64, 32);
  in.queries = in.candidates;
  in.inverse_temperature = 30;
  const softmax::Output<double> oracle = softmax::reference<double>(in);
  const Result x = solve(GetParam(), in);
  for (std::size_t i = 0; i < 64; i++) EXPECT_NEAR(x.loss[i] / oracle.loss[i], 1, 5e-5);
}

// Operands carry 8 bits: each product is off by up to 2^-8 of itself, in its own direction.
TEST_P(LossSolver, Bfloat16IsNear) {
  std::mt19937 random(10);
  for (const int d : {31, 64, 100, 128, 200}) {
    Input in = softmax::random_input(random, 150, 170, d);
    add_log_q(random, in, 1e-5);
    add_ids(random, in, 100);
    in.precision = TT_BFLOAT16;
    const softmax::Output<double> oracle = softmax::reference<double>(in);
    const Result x = solve(GetParam(), in);
    const softmax::UnitRows<double> q(in.queries, in.n, d), c(in.candidates, in.m, d);
    const auto relative = [&](const std::vector<float>& a, const std::vector<double>& b,
                              const std::vector<double>& inverse) {
      double error = 0, norm = 0;
      for (std::size_t i = 0; i < b.size(); i++) {
        const double length = 1 / inverse[i / static_cast<std::size_t>(d)];
        error += std::pow((static_cast<double>(a[i]) - b[i]) * length, 2);
        norm += std::pow(b[i] * length, 2);
      }
      return std::sqrt(error / norm);
    };
    EXPECT_LT(relative(x.grad_queries, oracle.grad_queries, q.inverse), 0.02) << d;
    EXPECT_LT(relative(x.grad_candidates, oracle.grad_candidates, c.inverse), 0.02) << d;
    EXPECT_NEAR(x.total[0], oracle.total, 0.01) << d;
  }
}

TEST_P(LossSolver, SameBitsUnderAnySchedule) {
  std::mt19937 random(11);
  for (const float inverse_temperature : {20.0f, 150.0f}) {
    Input in = softmax::random_input(random, 130, 140, 48);
    add_log_q(random, in);
    add_positives(random, in);
    in.inverse_temperature = inverse_temperature;
    std::string first;
    for (const std::uint64_t seed : {0u, 1u, 2u, 3u}) {
      simt::options().seed = seed;
      const std::string bits = solve(GetParam(), in, softmax::kAll, 132).bits();
      if (first.empty()) first = bits;
      EXPECT_EQ(bits, first) << seed;
    }
    simt::options() = simt::Options();
  }
}

// What tensor cores cannot take, and devices without bfloat16.
TEST(LossSolver, ChoosesAnEngine) {
  constexpr Engine kTuned = Engine::kTensorCores;
  Problem p{};
  for (const int d : {1, 32, 100, 256}) {
    p.d = d;
    EXPECT_EQ(best_engine(p, kTuned, 800, 163 * 1024), kTuned) << d;
    EXPECT_EQ(best_engine(p, kTuned, 750, 64 * 1024), Engine::kPlain) << d;
    EXPECT_EQ(best_engine(p, Engine::kPlain, 800, 163 * 1024), Engine::kPlain) << d;
    EXPECT_EQ(best_engine(p, Engine::kHopper, 900, 227 * 1024), kTuned) << d << " in float32";
  }
  EXPECT_EQ(best_engine(p, kTuned, 860, 99 * 1024), Engine::kPlain) << "256 in 3 parts: 149 KB";
  p.bfloat16 = true;
  EXPECT_EQ(best_engine(p, kTuned, 860, 99 * 1024), kTuned);
  EXPECT_EQ(best_engine(p, Engine::kHopper, 900, 227 * 1024), kTuned) << "wider than 128";
  p.d = 257;
  EXPECT_EQ(best_engine(p, kTuned, 900, 227 * 1024), Engine::kPlain);
  p.d = 128;
  EXPECT_EQ(best_engine(p, Engine::kHopper, 900, 227 * 1024), Engine::kHopper);
  EXPECT_EQ(best_engine(p, Engine::kHopper, 1000, 227 * 1024), kTuned) << "sm_90a alone has wgmma";
  EXPECT_EQ(best_engine(p, kTuned, 900, 227 * 1024), kTuned);
}

TEST(LossSolver, WideRows) {
  std::mt19937 random(12);
  for (const int d : {257, 512, 700}) {
    Input in = softmax::random_input(random, 40, 70, d);
    add_log_q(random, in);
    expect_matches(in, solve(Engine::kPlain, in));
  }
}

}  // namespace
