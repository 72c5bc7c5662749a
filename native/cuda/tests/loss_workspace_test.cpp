// What the losses take beside their operands and results: O((n + m) d), as twintail.h promises. Nothing runs here.
#include <gtest/gtest.h>

#include <string>

#include "loss/solver.h"
#include "loss/stages.h"

namespace {

using namespace tt::cuda::loss;

constexpr int kMultiprocessors = 132;  // of an H100 or H200
constexpr Engine kEngines[] = {Engine::kPlain, Engine::kTensorCores, Engine::kHopper};

Problem problem_of(int64_t n, int64_t m, int d, bool bfloat16, bool symmetric) {
  Problem p{};
  p.n = n;
  p.m = m;
  p.d = d;
  p.inverse_temperature = 20;
  p.bfloat16 = bfloat16;
  p.symmetric = symmetric;
  return p;
}

int64_t operand_bytes(const Problem& p) {
  return 4 * (p.n + p.m) * p.d;
}

template <class F>
void for_each_kind(F check) {
  for (const Engine engine : kEngines) {
    for (const bool bfloat16 : {false, true}) {
      if (engine == Engine::kHopper && !bfloat16) continue;  // it has no float32
      for (const bool symmetric : {false, true}) {
        for (const int d : {64, 128}) {
          SCOPED_TRACE("engine " + std::to_string(static_cast<int>(engine)) +
                       (bfloat16 ? ", bfloat16" : "") + (symmetric ? ", symmetric" : "") + ", d " +
                       std::to_string(d));
          check(engine, bfloat16, symmetric, d);
        }
      }
    }
  }
}

// Batches that are powers of two fill the multiprocessors with few splits, and ever fewer as they grow. Three times the
// operands: packed rows are one and a half of them at most (three bfloat16 for a float), one split of products is one,
// and a row's numbers beside those (sums, factors, keys: 50 bytes or so) are a fifth at d = 64.
TEST(LossWorkspace, GrowsWithTheRows) {
  for_each_kind([](Engine engine, bool bfloat16, bool symmetric, int d) {
    int64_t before = 0;
    for (int64_t n = 8 << 10; n <= 128 << 10; n *= 2) {
      const Problem p = problem_of(n, n, d, bfloat16, symmetric);
      const int64_t bytes = workspace_bytes(p, engine, kMultiprocessors);
      EXPECT_GE(bytes, operand_bytes(p)) << n << ": packed rows and products at least";
      if (before != 0) {
        EXPECT_LE(bytes, 2 * before) << n;
      }
      before = bytes;
    }
    EXPECT_LE(before, 3 * operand_bytes(problem_of(128 << 10, 128 << 10, d, bfloat16, symmetric)));
  });
}

// The worst batch has eight splits beyond those that give every multiprocessor two blocks (balanced_splits): eight times
// the operands more than above and less than ten in all, but for the rows of those blocks, whose number is a constant. Up to
// sizes that no device holds, where the least part of n m would show.
TEST(LossWorkspace, IsBoundedWhateverTheSizes) {
  for_each_kind([](Engine engine, bool bfloat16, bool symmetric, int d) {
    constexpr int64_t kBlockRows = 128, kBlocks = 2 * kMultiprocessors + 9;
    const int64_t constant = 2 * kBlocks * kBlockRows * (4 * d + 8);
    for (int64_t n = 1; 8 * n < kMostRows; n += n / 8 + 1) {
      for (const int64_t m : {n, 8 * n + 1}) {
        if (symmetric && n != m) continue;
        const Problem p = problem_of(n, m, d, bfloat16, symmetric);
        ASSERT_LE(workspace_bytes(p, engine, kMultiprocessors), 10 * operand_bytes(p) + constant)
            << n << " x " << m;
      }
    }
  });
}

// Exponents that span 207.9 bits have room in a constant shift up to 2^20 columns, not with more, whose sums might be infinite;
// and of a narrower span with as many.
TEST(LossRange, ShrinksWithTheColumns) {
  const auto is_wide = [](int64_t columns, float inverse_temperature) {
    Facts facts{};
    set_range(facts, columns, inverse_temperature, 0.0, 0.0);
    return facts.wide != 0;
  };
  EXPECT_FALSE(is_wide(1, 72.05f));
  EXPECT_FALSE(is_wide(int64_t{1} << 20, 72.05f));
  EXPECT_TRUE(is_wide((int64_t{1} << 20) + 1, 72.05f));
  EXPECT_TRUE(is_wide(1, 72.1f)) << "208.04";
  EXPECT_FALSE(is_wide(int64_t{1} << 24, 69.0f)) << "199.1 of 200";
  EXPECT_TRUE(is_wide((int64_t{1} << 24) + 1, 69.0f)) << "of 198";
}

}  // namespace
