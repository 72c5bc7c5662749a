// The engines in bfloat16: each against the oracle with its operands, and those on tensor cores against the plain one.
#include "loss_solve.h"
#include "softmax_bfloat16.h"

namespace {

using namespace loss_test;
using softmax::Rounding;

// The same operands in both, and sums in float32. What is left: tensor cores take the weights of gradients rounded to
// bfloat16, 2^-8 of each at most, and those of positives too wherever they go through products.
void expect_near_plain(const Input& in, const Result& x, const Result& plain) {
  const softmax::Operands operands = operands_of(in, Rounding::cuda());
  const softmax::Output<double> oracle = softmax::reference<double>(in, &operands);
  const softmax::Output<float> by_float = softmax::reference<float>(in, &operands);
  const std::vector<double> none;
  // In float32 either may be off by what expect_matches_bfloat16 allows: together twice that.
  const double exact = 8 * std::ldexp(4 + oracle.largest_logit, -24);
  const softmax::GradientBounds bounds =
      bounds_of(in, oracle, 1, in.symmetric ? 1 : 0, 1, 1, exact);
  const auto expect_near = [&](const std::vector<float>& a, const std::vector<float>& b,
                               const std::vector<float>& rows, const std::vector<float>& float_g,
                               const std::vector<double>& g, const std::vector<double>& allowed,
                               const char* what) {
    const softmax::UnitRows<double> unit(rows, static_cast<int64_t>(allowed.size()), in.d);
    expect_within(a, std::vector<double>(b.begin(), b.end()), unit, in.d, allowed,
                  4 * largest_error(float_g, g, unit, in.d), what);
  };
  expect_near(x.grad_queries, plain.grad_queries, in.queries, by_float.grad_queries,
              oracle.grad_queries, bounds.queries, "the queries' gradient");
  expect_near(x.grad_candidates, plain.grad_candidates, in.candidates, by_float.grad_candidates,
              oracle.grad_candidates, bounds.candidates, "the candidates' gradient");
  const double term =
      softmax::row_error(by_float.temperature_terms, oracle.temperature_terms, none, 1) * 4;
  EXPECT_NEAR(x.grad_inverse_temperature[0], plain.grad_inverse_temperature[0],
              bounds.temperature + term * static_cast<double>(in.n));
  const auto loss_allowed = 4 * softmax::row_error(by_float.loss, oracle.loss, none, 1) + exact;
  for (std::size_t i = 0; i < x.loss.size(); i++)
    EXPECT_NEAR(x.loss[i], plain.loss[i], loss_allowed) << i;
}

void check(Input in) {
  in.precision = TT_BFLOAT16;
  const Result plain = solve(Engine::kPlain, in);
  expect_matches_bfloat16(in, plain, Rounding::cuda(false));
  for (const Engine engine : {Engine::kTensorCores, Engine::kHopper}) {
    if (engine == Engine::kHopper && in.d > 128) continue;
    SCOPED_TRACE(engine == Engine::kHopper ? "hopper" : "tensor cores");
    const Result x = solve(engine, in);
    expect_matches_bfloat16(in, x, Rounding::cuda());
    expect_near_plain(in, x, plain);
  }
}

// Both sides of hopper's switch of width, and of the switch to the rows' own maxima.
TEST(LossBfloat16, EnginesAgree) {
  std::mt19937 random(16);
  for (const Size s : {Size{1, 1, 1}, {20, 140, 40}, {130, 30, 64}, {40, 75, 96}, {33, 50, 128}}) {
    for (const float inverse_temperature : {20.0f, 100.0f}) {
      SCOPED_TRACE(std::to_string(s.n) + " x " + std::to_string(s.m) + " x " + std::to_string(s.d) +
                   ", " + std::to_string(inverse_temperature));
      Input in = softmax::random_input(random, s.n, s.m, s.d);
      in.inverse_temperature = inverse_temperature;
      add_log_q(random, in, 1e-5);
      add_positives(random, in);
      if (inverse_temperature > 50) add_ids(random, in, 30);
      add_weights(random, in);
      check(in);
    }
  }
}

TEST(LossBfloat16, EnginesAgreeOnTheSymmetricForm) {
  std::mt19937 random(17);
  for (const Size s : {Size{1, 1, 1}, {30, 30, 40}, {130, 130, 64}, {45, 45, 96}, {33, 33, 128}}) {
    for (const float inverse_temperature : {20.0f, 100.0f}) {
      SCOPED_TRACE(std::to_string(s.m) + " x " + std::to_string(s.d) + ", " +
                   std::to_string(inverse_temperature));
      Input in = softmax::random_input(random, s.m, s.m, s.d);
      in.inverse_temperature = inverse_temperature;
      in.symmetric = true;
      if (inverse_temperature > 50) add_ids(random, in, 30);
      add_weights(random, in);
      check(in);
    }
  }
}

}  // namespace
