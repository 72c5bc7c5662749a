// Both losses in bfloat16, every output, with every kind of products that a backend has.
#include <optional>

#include "softmax_bfloat16.h"

namespace softmax {
namespace {

/// A target, and whether it may have bfloat16 instructions: without them the CPU rounds, and multiplies floats.
using Way = std::tuple<tt_test::Target, bool>;

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const tt_test::Target& target : tt_test::targets()) {
    all.emplace_back(target, true);
    if (target.isa == TT_ISA_AVX512) all.emplace_back(target, false);
  }
  return all;
}

class LossBfloat16 : public testing::TestWithParam<Way> {
 protected:
  Result run(Input in, bool contrastive) {
    in.precision = TT_BFLOAT16;
    const auto [target, instructions] = GetParam();
    const tt_test::Environment variable("TWINTAIL_BFLOAT16", instructions ? "1" : "0");
    const Runner runner(target);
    rounding_ =
        target.device == TT_DEVICE_CPU ? Rounding::cpu(runner.has_bfloat16()) : Rounding::cuda();
    return contrastive ? runner.contrastive(in) : runner.sampled_softmax(in);
  }
  void expect_match(const Input& in, bool contrastive = false) {
    const Result x = run(in, contrastive);
    expect_matches_bfloat16(in, x, rounding_);
  }

 private:
  Rounding rounding_{};
};
INSTANTIATE_TEST_SUITE_P(All, LossBfloat16, testing::ValuesIn(ways()), [](const auto& parameter) {
  return std::string(std::get<0>(parameter.param).name) +
         (std::get<1>(parameter.param) ? "" : "WithoutInstructions");
});

struct Size {
  int64_t n, m;
  int d;
};

// Widths that fill the tiles of products and that do not, on both sides of the switch to the rows' own maxima.
TEST_P(LossBfloat16, SampledSoftmax) {
  std::mt19937 random(fresh_seed() + 30);
  for (const Size s : {Size{1, 1, 1}, {29, 31, 33}, {33, 70, 64}, {40, 75, 96}, {53, 37, 256}}) {
    SCOPED_TRACE(std::to_string(s.n) + " x " + std::to_string(s.m) + " x " + std::to_string(s.d));
    Input in = random_input(random, s.n, s.m, s.d);
    if (s.n > s.m) add_positives(random, in);
    expect_match(in);
    add_log_q(random, in, 1e-5);
    add_ids(random, in, 25);
    add_weights(random, in);
    in.inverse_temperature = 100;
    expect_match(in);
  }
}

TEST_P(LossBfloat16, Contrastive) {
  std::mt19937 random(fresh_seed() + 31);
  for (const Size s : {Size{1, 1, 1}, {31, 31, 33}, {70, 70, 64}, {45, 45, 96}, {37, 37, 256}}) {
    for (const bool symmetric : {false, true}) {
      SCOPED_TRACE(std::to_string(s.m) + " x " + std::to_string(s.d) +
                   (symmetric ? ", symmetric" : ""));
      Input in = random_input(random, s.m, s.m, s.d);
      in.symmetric = symmetric;
      expect_match(in, true);
      add_ids(random, in, 25);
      add_weights(random, in);
      in.inverse_temperature = 100;
      expect_match(in, true);
    }
  }
}

}  // namespace
}  // namespace softmax
