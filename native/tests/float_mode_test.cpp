// The caller's mode of floating-point arithmetic changes no result, and stays as it is.
#include "optimizer_reference.h"

#if defined(__SSE__)
#include <immintrin.h>

namespace tt_test {
namespace {

constexpr uint32_t kFlush = 0x8040;    // denormals count as zero, as operands and as results
constexpr uint32_t kUpwards = 0x4000;  // rounding
constexpr uint32_t kModes = ~0x3Fu;    // the rest are flags

/// This thread's mode, for as long as it lives.
class FloatMode {
 public:
  explicit FloatMode(uint32_t more) : before_(_mm_getcsr()) { _mm_setcsr(before_ | more); }
  ~FloatMode() { _mm_setcsr(before_); }
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  uint32_t before_;
};

class FloatModeTest : public OpTest {};
TT_ON_ALL_TARGETS(FloatModeTest);

constexpr int64_t kCount = 16 << 14;  // several of the op's blocks for every thread

/// Parameters and gradients that are denormals.
struct Denormals {
  Denormals() : p(kCount), g(kCount, 1e-40f) {
    for (size_t i = 0; i < p.size(); ++i) p[i] = 1e-39f + 1e-44f * static_cast<float>(i % 977);
  }
  std::vector<float> p, g;
};

/// The bits of the parameters after some steps.
std::string updated(tt_context* context, Denormals from) {
  const tt_optimizer sgd = make_optimizer(TT_SGD);
  for (int i = 0; i < 10; ++i) {
    TT_MUST(tt_dense_update(context, &sgd, from.p.data(), from.g.data(), nullptr, nullptr, kCount));
  }
  return bits(from.p);
}

TEST_P(FloatModeTest, OfTheCallerChangesNothing) {
  if (!on_cpu()) GTEST_SKIP() << "the CPU's";
  const Denormals start;
  for (const int32_t threads : {1, 2}) {
    const Context context(target(), threads);
    const std::string expected = updated(context, start);
    EXPECT_NE(expected, bits(start.p));
    for (const uint32_t mode : {kFlush, kUpwards}) {
      for (int i = 0; i < 10; ++i) {
        const FloatMode set(mode);
        const uint32_t before = _mm_getcsr() & kModes;
        const bool same = updated(context, start) == expected;
        EXPECT_EQ(_mm_getcsr() & kModes, before);
        ASSERT_TRUE(same) << threads << " threads, mode " << std::hex << mode;
      }
    }
  }
}

TEST_P(FloatModeTest, IsNotInheritedByTheWorkers) {
  if (!on_cpu()) GTEST_SKIP() << "the CPU's";
  const Context one(target(), 1);
  const Denormals start;
  const std::string expected = updated(one, start);
  tt_context* made = nullptr;
  {
    const FloatMode set(kFlush);
    tt_context_options options{};
    options.struct_size = sizeof options;
    options.threads = 2;
    options.isa = target().isa;
    TT_OK_OR_FAIL(tt_context_create(&options, &made));
  }
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(updated(made, start) == expected);
  TT_OK_OR_FAIL(tt_context_destroy(made));
}

}  // namespace
}  // namespace tt_test
#endif
