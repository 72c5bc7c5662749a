// Tables in bfloat16: updated as float32 tables are, then rounded by the draws that twintail.h gives.
#include "gather_reference.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

float widen(uint16_t half) {
  const uint32_t u = static_cast<uint32_t>(half) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

/// Rounded up iff the bits that are cut off and the draw's low ones carry.
uint16_t narrow(float x, int64_t step, uint32_t row, uint32_t column) {
  const Word4 u = Draw{0, 0, step}(column / 4, row, 0, 0, TT_DRAW_ROUNDING);
  uint32_t word;
  std::memcpy(&word, &x, 4);
  return static_cast<uint16_t>((word + (u[column % 4] & 0xFFFF)) >> 16);
}

class SparseUpdateBfloat16Test : public OpTest {};
TT_ON_ALL_TARGETS(SparseUpdateBfloat16Test);

/// A table in bfloat16 and one in float32 that is given the same weights and states before each step.
class Pair {
 public:
  Pair(const Context& context, Random& random, int32_t kind, int64_t rows, int32_t dim)
      : context_(context),
        kind_(kind),
        rows_(rows),
        dim_(dim),
        halves_(context, rounded(random.normals(rows * dim))),
        states_{{context, states(1)}, {context, states(2)}} {}

  void step(const tt_optimizer& o, const Buffer<int32_t>& ids, const Buffer<float>& values) {
    std::vector<float> weights;
    for (const uint16_t h : halves_.read()) weights.push_back(widen(h));
    const Buffer<float> full(context_, weights);
    const Buffer<float> states[] = {{context_, states_[0].read()}, {context_, states_[1].read()}};
    const tt_embedding wide = embedding(full.get(), states, TT_FLOAT32);
    const tt_embedding half = embedding(halves_.get(), states_, TT_BFLOAT16);
    TT_MUST(tt_sparse_update(context_, &o, &wide, ids, values, ids.size()));
    TT_MUST(tt_sparse_update(context_, &o, &half, ids, values, ids.size()));

    const std::vector<float> exact = full.read();
    const std::vector<uint16_t> got = halves_.read();
    for (size_t i = 0; i < got.size(); ++i) {
      const auto row = static_cast<uint32_t>(i / static_cast<size_t>(dim_));
      const auto column = static_cast<uint32_t>(i % static_cast<size_t>(dim_));
      ASSERT_EQ(got[i], narrow(exact[i], o.step, row, column))
          << "row " << row << ", column " << column << ", " << exact[i];
    }
    for (int s = 0; s < 2; ++s) EXPECT_EQ(bits(states_[s].read()), bits(states[s].read()));
  }

 private:
  static std::vector<uint16_t> rounded(const std::vector<float>& x) {
    std::vector<uint16_t> halves;
    for (size_t i = 0; i < x.size(); ++i) halves.push_back(narrow(x[i], 0, 0, 0));
    return halves;
  }
  std::vector<float> states(int number) const {
    const bool one_a_row = kind_ == TT_ROWWISE_ADAGRAD;
    return std::vector<float>(
        states_of(kind_) < number ? 0 : static_cast<size_t>(one_a_row ? rows_ : rows_ * dim_));
  }
  tt_embedding embedding(void* weights, const Buffer<float> (&states)[2], int32_t dtype) const {
    const int count = states_of(kind_);
    return {weights,
            count < 1 ? nullptr : states[0].get(),
            count < 2 ? nullptr : states[1].get(),
            rows_,
            dim_,
            dtype};
  }

  const Context& context_;
  int32_t kind_;
  int64_t rows_;
  int32_t dim_;
  Buffer<uint16_t> halves_;
  Buffer<float> states_[2];
};

// Exactly, not nearly: float32's results are taken from the same op and rounded here. With runs short and long, and with dimensions that
// are whole vectors and that are not.
TEST_P(SparseUpdateBfloat16Test, RoundsWhatFloat32Gives) {
  constexpr int64_t kRows = 30;
  uint32_t salt = 0;
  for (const int32_t kind : {TT_SGD, TT_ADAGRAD, TT_ROWWISE_ADAGRAD, TT_ADAM}) {
    for (const float decay : {0.0f, 0.01f}) {
      for (const int32_t dim : {3, 16, 48, 64, 130}) {
        SCOPED_TRACE(std::string(optimizer_name(kind)) + ", dimension " + std::to_string(dim));
        Random random(++salt);
        const Context context(target());
        Pair pair(context, random, kind, kRows, dim);
        for (int64_t step = 1; step <= 3; ++step) {
          const int64_t count = step == 2 ? 200 : 25;
          const Buffer<int32_t> ids(context, random.integers(count, 0, kRows - 1));
          const Buffer<float> values(context, random.normals(count * dim));
          ASSERT_NO_FATAL_FAILURE(pair.step(make_optimizer(kind, decay, step), ids, values));
        }
      }
    }
  }
}

// SGD on weights of 1 with a step of -1/1024 of a bfloat16 unit there (2^-7): rounding up must happen with
// that probability, by exactly the draws of the header.
TEST_P(SparseUpdateBfloat16Test, RoundsStochastically) {
  constexpr int64_t kRows = 3000;
  constexpr int32_t kDim = 19;
  constexpr float kUnit = 1.0f / 128;
  const Context context(target());
  const Buffer<uint16_t> weights(context, std::vector<uint16_t>(kRows * kDim, 0x3F80));
  tt_embedding e{weights.get(), nullptr, nullptr, kRows, kDim, TT_BFLOAT16};
  std::vector<int32_t> all;
  for (int32_t r = 0; r < kRows; ++r) all.push_back(r);
  const Buffer<int32_t> ids(context, all);
  const Buffer<float> values(context, std::vector<float>(kRows * kDim, -kUnit / 4));
  tt_optimizer o = make_optimizer(TT_SGD);
  o.learning_rate = 1;
  o.step = 77;
  TT_OK_OR_FAIL(tt_sparse_update(context, &o, &e, ids, values, kRows));
  const std::vector<uint16_t> got = weights.read();
  int64_t up = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    for (int32_t c = 0; c < kDim; ++c) {
      const float x = 1 + kUnit / 4;  // exact in float32
      const uint16_t expected = narrow(x, 77, static_cast<uint32_t>(r), static_cast<uint32_t>(c));
      ASSERT_EQ(got[static_cast<size_t>(r * kDim + c)], expected) << r << ", " << c;
      up += widen(expected) > 1;
    }
  }
  const double n = kRows * kDim;
  EXPECT_NEAR(static_cast<double>(up) / n, 0.25, 5 * std::sqrt(0.25 * 0.75 / n));
}

}  // namespace
}  // namespace tt_test
