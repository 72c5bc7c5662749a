// Philox4x32-10 and the two ops that hand out its numbers.
#include "philox.h"
#include "gather_reference.h"

namespace tt_test {
namespace {

struct KnownAnswer {
  uint32_t counter[4], key[2], output[4];
};

// The file kat_vectors of the authors' distribution Random123, "philox 4x32 10".
constexpr KnownAnswer kKnownAnswers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST(Philox, KnownAnswers) {
  for (const KnownAnswer& known : kKnownAnswers) {
    uint32_t output[4] = {};
    TT_EXPECT_OK(tt_philox(known.key, known.counter, output));
    for (int i = 0; i < 4; ++i) EXPECT_EQ(output[i], known.output[i]);
    const Word4 again =
        reference_philox({known.counter[0], known.counter[1], known.counter[2], known.counter[3]},
                         known.key[0], known.key[1]);
    for (size_t i = 0; i < 4; ++i) EXPECT_EQ(again[i], known.output[i]) << "the tests' own";
  }
}

// It must be possible to evaluate it at compile time.
static_assert(tt::philox({{0, 0, 0, 0}}, {{0, 0}}).v[0] == 0x6627e8d5u);

TEST(Philox, BadArguments) {
  uint32_t word[4] = {};
  EXPECT_BAD_ARGUMENT(tt_philox(nullptr, word, word), "key");
  EXPECT_BAD_ARGUMENT(tt_philox(word, nullptr, word), "counter");
  EXPECT_BAD_ARGUMENT(tt_philox(word, word, nullptr), "output");
}

class RandomTest : public OpTest {};
TT_ON_ALL_TARGETS(RandomTest);

TEST_P(RandomTest, FillUniformFollowsTheHeader) {
  constexpr uint64_t kSeed = 0x123456789ABCDEFull;
  constexpr int64_t kStep = (int64_t{7} << 32) + 5;
  std::string first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    for (const int64_t count : {1, 3, 4, 1001, 70003}) {
      const Buffer<float> out(context, count);
      TT_OK_OR_FAIL(tt_fill_uniform(context, kSeed, 3, kStep, -2.0f, 3.0f, count, out));
      const std::vector<float> got = out.read();
      const Draw draw{kSeed, 3, kStep};
      for (int64_t i = 0; i<count; i += count> 2000 ? 997 : 1) {
        const uint32_t u = draw(static_cast<uint32_t>(i / 4), 0, 0, 0, TT_DRAW_ELEMENT)[i % 4];
        const float expected = -2.0f + 5.0f * (static_cast<float>(u >> 8) / 16777216.0f);
        ASSERT_FLOAT_EQ(got[static_cast<size_t>(i)], expected) << i;
      }
      if (count < 70003) continue;
      if (first.empty()) first = bits(got);
      EXPECT_EQ(bits(got), first) << threads << " threads";
    }
  }
}

TEST_P(RandomTest, FillUniformCoversItsRange) {
  const Context context(target());
  constexpr int64_t kCount = 1 << 20;
  const Buffer<float> out(context, kCount);
  TT_OK_OR_FAIL(tt_fill_uniform(context, fresh_seed(), 0, 0, 0.0f, 1.0f, kCount, out));
  double sum = 0, squares = 0;
  for (const float x : out.read()) {
    ASSERT_TRUE(x >= 0 && x < 1);
    sum += static_cast<double>(x);
    squares += static_cast<double>(x) * static_cast<double>(x);
  }
  // Standard errors: mean 1 / sqrt(12 n) = 2.8e-4; mean square sqrt(4/45 / n) = 2.9e-4. Five of them.
  EXPECT_NEAR(sum / kCount, 0.5, 1.5e-3);
  EXPECT_NEAR(squares / kCount, 1.0 / 3.0, 1.5e-3);
}

TEST_P(RandomTest, SampleRowsFollowsTheHeader) {
  std::string first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    for (const int64_t bound : {int64_t{1}, int64_t{7}, int64_t{1} << 31}) {
      constexpr int64_t kCount = 40001;
      const Buffer<int32_t> out(context, kCount);
      TT_OK_OR_FAIL(tt_sample_rows(context, 99, 4, 12, bound, kCount, out));
      const std::vector<int32_t> got = out.read();
      const Draw draw{99, 4, 12};
      for (int64_t i = 0; i < kCount; ++i) {
        const uint64_t expected = below(draw(static_cast<uint32_t>(i), 0, 0, 0, TT_DRAW_ELEMENT),
                                        static_cast<uint64_t>(bound));
        ASSERT_EQ(static_cast<uint64_t>(got[static_cast<size_t>(i)]), expected) << i;
      }
      if (bound != 7) continue;
      if (first.empty()) first = bits(got);
      EXPECT_EQ(bits(got), first) << threads << " threads";
      int64_t seen[7] = {};
      for (const int32_t row : got) ++seen[row];
      // Each is binomial(40001, 1/7): mean 5714, standard deviation 70.
      for (const int64_t count : seen) EXPECT_NEAR(static_cast<double>(count), 5714.4, 5 * 70.0);
    }
  }
}

TEST_P(RandomTest, BadArguments) {
  const Context context(target());
  const Buffer<float> out(context, 4);
  const Buffer<int32_t> ints(context, 4);
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(nullptr, 0, 0, 0, 0, 1, 4, out), "context");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, -1, 0, 1, 4, out), "step");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, int64_t{1} << 48, 0, 1, 4, out), "step");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, 0, NAN, 1, 4, out), "lo");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, 0, 0, INFINITY, 4, out), "hi");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, 0, -3e38f, 3e38f, 4, out), "hi");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, 0, 0, 1, -1, out), "count");
  EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 0, 0, 0, 0, 1, 4, nullptr), "out");
  TT_EXPECT_OK(tt_fill_uniform(context, 0, 0, 0, 0, 1, 0, nullptr));
  EXPECT_BAD_ARGUMENT(tt_sample_rows(nullptr, 0, 0, 0, 5, 4, ints), "context");
  EXPECT_BAD_ARGUMENT(tt_sample_rows(context, 0, 0, -1, 5, 4, ints), "step");
  EXPECT_BAD_ARGUMENT(tt_sample_rows(context, 0, 0, 0, 0, 4, ints), "bound");
  EXPECT_BAD_ARGUMENT(tt_sample_rows(context, 0, 0, 0, (int64_t{1} << 31) + 1, 4, ints), "bound");
  EXPECT_BAD_ARGUMENT(tt_sample_rows(context, 0, 0, 0, 5, -1, ints), "n");
  EXPECT_BAD_ARGUMENT(tt_sample_rows(context, 0, 0, 0, 5, 4, nullptr), "out");
}

}  // namespace
}  // namespace tt_test
