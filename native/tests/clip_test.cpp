// tt_clip.
#include <cmath>
#include <limits>

#include "harness.h"

namespace tt_test {
namespace {

class ClipTest : public OpTest {};
TT_ON_ALL_TARGETS(ClipTest);

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

TEST_P(ClipTest, KeepsValuesWithinBounds) {
  for (const int64_t count : {1, 7, 70003}) {
    const Context context(target());
    std::vector<float> values = Random().normals(count);
    values.back() = kNaN;
    const Buffer<float> device(context, values);
    TT_OK_OR_FAIL(tt_clip(context, -0.5f, 0.75f, device, count));
    const std::vector<float> got = device.read();
    EXPECT_TRUE(std::isnan(got.back()));
    for (size_t i = 0; i + 1 < got.size(); ++i)
      ASSERT_EQ(got[i], std::fmin(std::fmax(values[i], -0.5f), 0.75f)) << i;
  }
}

TEST_P(ClipTest, BoundsMayBeEqualOrInfinite) {
  const Context context(target());
  const Buffer<float> device(context, std::vector<float>{-kInfinity, -3, 0, kInfinity});
  TT_OK_OR_FAIL(tt_clip(context, -kInfinity, 2, device, 4));
  EXPECT_EQ(device.read(), (std::vector<float>{-kInfinity, -3, 0, 2}));
  TT_OK_OR_FAIL(tt_clip(context, 1, 1, device, 4));
  EXPECT_EQ(device.read(), (std::vector<float>{1, 1, 1, 1}));
}

TEST_P(ClipTest, BadArguments) {
  const Context context(target());
  const Buffer<float> device(context, std::vector<float>(4));
  EXPECT_BAD_ARGUMENT(tt_clip(nullptr, 0, 1, device, 4), "context");
  EXPECT_BAD_ARGUMENT(tt_clip(context, 1, 0, device, 4), "low");
  EXPECT_BAD_ARGUMENT(tt_clip(context, kNaN, 1, device, 4), "low");
  EXPECT_BAD_ARGUMENT(tt_clip(context, 0, kNaN, device, 4), "low");
  EXPECT_BAD_ARGUMENT(tt_clip(context, 0, 1, nullptr, 4), "values");
  EXPECT_BAD_ARGUMENT(tt_clip(context, 0, 1, device, -1), "count");
  TT_EXPECT_OK(tt_clip(context, 0, 1, nullptr, 0));
}

}  // namespace
}  // namespace tt_test
