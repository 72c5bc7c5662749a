// The tensor-core passes of the losses on the CPU run, against sums in float64: every mode, width and
// precision, sizes that fill no tile, splits, and schedules.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <tuple>

#include "loss/tuned.h"
#include "loss_splits.h"
#include "simt_test.h"

namespace {

using namespace tt::cuda::loss;
using namespace tt::cuda::loss::tuned;
using simt_test::DeviceArray;
using simt_test::random_floats;

struct Case {
  int nx, ny, d, parts;
  Mode mode;
  float scale;
  int splits;
};

std::size_t count(int64_t a, int64_t b = 1) {
  return static_cast<std::size_t>(a * b);
}

// Rows that differ in length by orders; one of them zero.
std::vector<float> some_rows(int rows, int d, unsigned seed) {
  std::vector<float> x = random_floats(count(rows, d), seed);
  for (int i = 0; i < rows; i++) {
    const float length = i % 17 == 3 ? 0.0f : std::ldexp(1.0f, i % 9 - 4);
    for (int k = 0; k < d; k++) x[count(i, d) + count(k)] *= length;
  }
  return x;
}

struct Packed {
  Packed(int rows, int d, int parts, unsigned seed)
      : source(some_rows(rows, d, seed)),
        width(padded_width(d)),
        packed(count(rows, int64_t{parts} * width)) {
    pack(source, rows, d, parts);
    if (parts == 1) {  // the products are judged on what they were given
      for (const __nv_bfloat16 v : packed.values()) unit.push_back(__bfloat162float(v));
      return;
    }
    unit.assign(count(rows, width), 0.0);
    for (int i = 0; i < rows; i++) {
      double square = 0;
      for (int k = 0; k < d; k++) square += std::pow(source[count(i, d) + count(k)], 2.0);
      for (int k = 0; k < d && square > 0; k++)
        unit[count(i, width) + count(k)] = source[count(i, d) + count(k)] / std::sqrt(square);
    }
  }
  void pack(const std::vector<float>& from, int rows, int d, int parts) {
    const DeviceArray<float> device(from), inverse_norm(count(rows));
    const DeviceArray<Facts> facts(1);
    EXPECT_EQ(begin(loss_test::problem_of_rows(device.get(), rows, d),
                    loss_test::side_of(packed.get(), inverse_norm.get()), Side{}, width, parts,
                    facts.get(), nullptr),
              cudaSuccess);
  }

  std::vector<float> source;
  int width;
  DeviceArray<__nv_bfloat16> packed;
  std::vector<double> unit;
};

using Results = loss_test::Outputs;

struct Inputs {
  explicit Inputs(const Case& c)
      : x(c.nx, c.d, c.parts, 1),
        y(c.ny, c.d, c.parts, 2),
        addend_x(random_floats(count(c.nx), 3, -6.0f, 6.0f)),
        addend_y(random_floats(count(c.ny), 4, -6.0f, 6.0f)),
        factor_x(random_floats(count(c.nx), 5, 0.0f, 1.0f)),
        factor_y(random_floats(count(c.ny), 6, 0.0f, 1.0f)) {
    for (int i = 0; i < c.nx; i++) key_x.push_back(i * 7 % 50);
    for (int j = 0; j < c.ny; j++) key_y.push_back(j * 3 % 50);
    // Every third y is the positive of an x with its key, if there is one.
    for (int j = 0; j < c.ny; j++) {
      position_y.push_back(-1);
      for (int i = 0; i < c.nx && j % 3 == 0; i++)
        if (key_x[count(i)] == key_y[count(j)]) position_y.back() = i;
      positive_y.push_back(-0.01f * static_cast<float>(j + 1));
    }
  }
  Packed x, y;
  std::vector<float> addend_x, addend_y, factor_x, factor_y;
  std::vector<int> key_x, key_y, position_y;
  std::vector<float> positive_y;
};

Results run_pass(const Inputs& in, const Case& c) {
  const DeviceArray<float> addend_x(in.addend_x), addend_y(in.addend_y), factor_x(in.factor_x),
      factor_y(in.factor_y);
  const DeviceArray<int> key_x(in.key_x), key_y(in.key_y), position_y(in.position_y);
  const DeviceArray<float> positive_y(in.positive_y), scale(std::vector<float>{c.scale});
  const bool zeros =
      std::all_of(in.addend_y.begin(), in.addend_y.end(), [](float a) { return a == 0; });
  const DeviceArray<int> shifted(std::vector<int>{zeros ? 0 : 1});
  const bool sums_wanted = c.mode == Mode::kSum || c.mode == Mode::kOnline;
  const DeviceArray<float> sums(count(c.nx, c.splits)), maxima(count(c.nx, c.splits)),
      products(count(c.nx, int64_t{c.splits} * in.x.width));
  Pass p{};
  p.x = in.x.packed.get();
  p.y = in.y.packed.get();
  p.nx = c.nx;
  p.ny = c.ny;
  p.scale = scale.get();
  p.addend_x = addend_x.get();
  p.addend_y = addend_y.get();
  p.shifted = shifted.get();
  p.key_x = key_x.get();
  p.key_y = key_y.get();
  p.factor_x = factor_x.get();
  p.factor_y = factor_y.get();
  p.position_y = position_y.get();
  p.positive_y = positive_y.get();
  p.splits = c.splits;
  p.sums = sums_wanted ? sums.get() : nullptr;
  p.maxima = c.mode == Mode::kOnline ? maxima.get() : nullptr;
  p.products = products.get();
  EXPECT_EQ(run(p, c.mode, in.x.width, c.parts, nullptr), cudaSuccess);
  Results r;
  if (sums_wanted) r.sums = sums.values();
  if (c.mode == Mode::kOnline) r.maxima = maxima.values();
  r.products = products.values();
  return loss_test::add_splits(r, count(c.nx), c.splits, count(in.x.width));
}

// exp2 and the rounding of v, which reaches scale + 12; bfloat16 weights besides.
double tolerance(const Case& c) {
  const double logits = std::ldexp(8.0 + 2.0 * std::fabs(c.scale), -23);
  return logits + (c.parts == 1 ? std::ldexp(1.0, -8) : 0.0);
}

void expect_right(const Case& c, const Inputs& in, const Results& r) {
  const int width = in.x.width;
  const double allowed = tolerance(c), sum_allowed = std::ldexp(8.0 + 2.0 * c.scale, -23);
  for (int i = 0; i < c.nx; i++) {
    double sum = 0, most = -std::numeric_limits<double>::infinity();
    std::vector<double> product(count(width), 0.0), size(count(width), 0.0), v(count(c.ny)),
        e(count(c.ny));
    for (int j = 0; j < c.ny; j++) {
      double cosine = 0;
      for (int k = 0; k < width; k++)
        cosine += in.x.unit[count(i, width) + count(k)] * in.y.unit[count(j, width) + count(k)];
      const double by_x = c.scale * cosine + in.addend_x[count(i)];
      const double by_y = c.scale * cosine + in.addend_y[count(j)];
      const double factor_x = in.factor_x[count(i)], factor_y = in.factor_y[count(j)];
      const bool kept = in.key_x[count(i)] != in.key_y[count(j)];
      const double both = c.mode == Mode::kGiven ? by_x + in.addend_y[count(j)] : by_y;
      v[count(j)] = kept ? both : -std::numeric_limits<double>::infinity();
      most = std::max(most, v[count(j)]);
      e[count(j)] = !kept                       ? 0
                    : c.mode == Mode::kGiven    ? std::exp2(v[count(j)]) * factor_y
                    : c.mode == Mode::kGivenSum ? std::exp2(v[count(j)]) * (factor_x + factor_y)
                    : c.mode == Mode::kGivenBoth
                        ? std::exp2(by_x) * factor_x + std::exp2(by_y) * factor_y
                        : 0;
    }
    for (int j = 0; j < c.ny; j++) {
      const bool gradient = c.mode != Mode::kSum && c.mode != Mode::kOnline;
      if (gradient && in.position_y[count(j)] == i) e[count(j)] = in.positive_y[count(j)];
      if (c.mode == Mode::kSum) e[count(j)] = std::exp2(v[count(j)]);
      if (c.mode == Mode::kOnline)
        e[count(j)] = std::isinf(v[count(j)]) ? 0 : std::exp2(v[count(j)] - most);
      sum += e[count(j)];
      for (int k = 0; k < width; k++) {
        const double term = e[count(j)] * in.y.unit[count(j, width) + count(k)];
        product[count(k)] += term;
        size[count(k)] += std::fabs(term);
      }
    }
    if (c.mode == Mode::kOnline) {
      if (std::isinf(most)) {
        ASSERT_EQ(r.maxima[count(i)], -INFINITY);
      } else {
        ASSERT_NEAR(r.maxima[count(i)], most, allowed + std::ldexp(std::fabs(c.scale), -7)) << i;
        // Sums are relative to the maximum found.
        const double shift = std::exp2(most - r.maxima[count(i)]);
        sum *= shift;
        for (int k = 0; k < width; k++) {
          product[count(k)] *= shift;
          size[count(k)] *= shift;
        }
      }
    }
    if (!r.sums.empty()) {
      ASSERT_NEAR(r.sums[count(i)], sum, 2 * sum_allowed * sum) << "row " << i;
    }
    for (int k = 0; k < width; k++) {
      ASSERT_NEAR(r.products[count(i, width) + count(k)], product[count(k)],
                  2 * allowed * size[count(k)] + 1e-30)
          << "row " << i << " column " << k;
    }
  }
}

void check(const Case& c) {
  SCOPED_TRACE(testing::Message() << c.nx << " x " << c.ny << " x " << c.d << ", " << c.parts
                                  << " parts, mode " << static_cast<int>(c.mode) << ", scale "
                                  << c.scale << ", " << c.splits << " splits");
  const Inputs in(c);
  expect_right(c, in, run_pass(in, c));
}

constexpr Mode kModes[] = {Mode::kSum, Mode::kOnline, Mode::kGiven, Mode::kGivenSum,
                           Mode::kGivenBoth};

class TunedLoss : public testing::TestWithParam<std::tuple<int, int>> {};

TEST_P(TunedLoss, MatchesDoublePrecision) {
  const auto [d, parts] = GetParam();
  for (const Mode mode : kModes) {
    check({70, 133, d, parts, mode, 28.85f, 1});
    check({129, 75, d, parts, mode, 1.4427f, 2});
  }
}

INSTANTIATE_TEST_SUITE_P(Widths, TunedLoss,
                         testing::Combine(testing::Values(1, 32, 33, 64, 96, 123, 128, 256),
                                          testing::Values(1, 3)));

TEST(TunedLossSizes, Odd) {
  for (const int parts : {1, 3}) {
    for (const Mode mode : kModes) {
      check({1, 1, 20, parts, mode, 10.0f, 1});
      check({2, 1, 64, parts, mode, 10.0f, 3});  // more splits than tiles
      check({127, 2, 20, parts, mode, 10.0f, 1});
      check({1, 300, 64, parts, mode, 10.0f, 4});
    }
  }
}

// Beyond what a constant shift can hold.
TEST(TunedLossSizes, OnlineMaximumHoldsAnyRange) {
  for (const int parts : {1, 3}) {
    check({40, 200, 64, parts, Mode::kOnline, 300.0f, 1});
    check({40, 200, 64, parts, Mode::kOnline, 1500.0f, 3});
  }
}

// Tensor cores cut: without care a sum of many terms of one sign loses a little with each. All columns lie in one
// direction, so that products are the sums of the weights in it.
TEST(TunedLossSizes, LongSumsOfFloat32AreNotCut) {
  Case c{1, 1 << 14, 16, 3, Mode::kSum, 1.0f, 1};
  Inputs in(c);
  std::vector<float> direction(count(c.ny, c.d), 1.0f);
  in.y.pack(direction, c.ny, c.d, c.parts);
  in.key_y.assign(count(c.ny), -1);
  const Results r = run_pass(in, c);
  for (int k = 0; k < c.d; k++)
    EXPECT_NEAR(r.products[count(k)] / (0.25 * r.sums[0]), 1.0, std::ldexp(1.0, -18)) << k;
}

TEST(TunedLossSizes, ARowWithNothingLeft) {
  Case c{20, 30, 16, 3, Mode::kOnline, 20.0f, 2};
  Inputs in(c);
  in.key_y.assign(30, in.key_x[5]);
  const Results r = run_pass(in, c);
  expect_right(c, in, r);
  EXPECT_EQ(r.sums[5], 0.0f);
}

// Then most tiles have nothing to leave out, and take another way through the kernel.
TEST(TunedLossSizes, KeysThatArePositions) {
  for (const int parts : {1, 3}) {
    for (const Mode mode : kModes) {
      const Case c{150, 300, 64, parts, mode, 20.0f, 1};
      SCOPED_TRACE(testing::Message() << parts << " parts, mode " << static_cast<int>(mode));
      Inputs in(c);
      for (int i = 0; i < c.nx; i++) in.key_x[count(i)] = i;
      for (int j = 0; j < c.ny; j++) {
        in.key_y[count(j)] = j;
        in.position_y[count(j)] = j < c.nx ? j : -1;
      }
      expect_right(c, in, run_pass(in, c));
      // Two rows that meet a key, at the end of a tile and at the beginning of the next; all others meet none.
      for (int i = 0; i < c.nx; i++) in.key_x[count(i)] = 1000 + i;
      in.key_x[40] = 63;
      in.key_x[70] = 64;
      in.position_y.assign(count(c.ny), -1);
      in.position_y[63] = 40;
      in.position_y[64] = 70;
      expect_right(c, in, run_pass(in, c));
      in.addend_y.assign(count(c.ny), 0.0f);  // which kGiven need not read then
      expect_right(c, in, run_pass(in, c));
    }
  }
}

TEST(TunedLossSchedules, GiveTheSameBits) {
  for (const int parts : {1, 3}) {
    for (const Mode mode : kModes) {
      const Case c{130, 150, 64, parts, mode, 20.0f, 2};
      const Inputs in(c);
      std::vector<float> first;
      for (const std::uint64_t seed : simt_test::kSeeds) {
        simt::options().seed = seed;
        const Results r = run_pass(in, c);
        if (first.empty()) first = r.products;
        EXPECT_EQ(0, std::memcmp(first.data(), r.products.data(), first.size() * sizeof(float)));
      }
      simt::options() = simt::Options();
    }
  }
}

TEST(TunedLossSchedules, LoadMatricesWithoutBankConflicts) {
  for (const int d : {32, 64, 96, 128, 256}) {
    for (const int parts : {1, 3}) {
      simt::stats() = simt::Stats();
      const Case c{64, 80, d, parts, Mode::kSum, 20.0f, 1};
      run_pass(Inputs(c), c);
      EXPECT_GT(simt::stats().matrix_loads, 0u);
      EXPECT_EQ(simt::stats().matrix_load_conflicts, 0u) << d << " " << parts;
    }
  }
}

TEST(TunedLossPlan, FitsAndSplits) {
  EXPECT_EQ(padded_width(123), 128);
  EXPECT_EQ(padded_width(257), 0);
  EXPECT_FALSE(fits(0, 1, 1 << 20));
  for (const int width : {32, 64, 96, 128, 256}) {
    EXPECT_TRUE(fits(width, 1, 99 * 1024));   // sm_86, sm_89
    EXPECT_TRUE(fits(width, 3, 163 * 1024));  // sm_80
  }
  EXPECT_EQ(splits_for(64, 1, 1 << 20, 1 << 20, 132), 1);
  EXPECT_GT(splits_for(64, 1, 1024, 1 << 20, 132), 16);
  EXPECT_EQ(splits_for(64, 1, 1, 1, 132), 1);
}

TEST(TunedLossPlan, SplitsFillTheLastRound) {
  EXPECT_EQ(balanced_splits(128, 132, 100), 1) << "97 %";
  EXPECT_EQ(balanced_splits(67, 132, 100), 9) << "a split each would leave half of them idle";
  EXPECT_EQ(balanced_splits(157, 132, 100), 4) << "59 % busy with one";
  EXPECT_EQ(balanced_splits(157, 132, 2), 2) << "no more than there are tiles for";
  EXPECT_EQ(balanced_splits(1, 132, 1000), 126);
  EXPECT_EQ(balanced_splits(8192, 132, 1000), 1);
}

}  // namespace
