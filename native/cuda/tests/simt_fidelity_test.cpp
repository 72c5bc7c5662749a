// native/simt against the toolkit's own headers: the same numbers for the same names, and the same bits
// from conversions (NVIDIA's run on the host too).
#include <map>
#include <string>

#include "probe.h"
#include "simt/half.h"
#include "simt/runtime_api.h"

namespace {

using SimtFidelity = ProbeTest;

TEST_F(SimtFidelity, ConstantsAreCudas) {
  std::map<std::string, long long> own = {
#define X(name) {#name, static_cast<long long>(name)},
#include "api_values.inc"
#undef X
  };
  auto* value_of = find<const char*(int, long long*)>("probe_value");
  long long value = 0;
  int count = 0;
  while (const char* name = value_of(count, &value)) {
    EXPECT_EQ(own.at(name), value) << name;
    count++;
  }
  EXPECT_EQ(count, static_cast<int>(own.size()));
}

TEST_F(SimtFidelity, ErrorsHaveCudasNamesAndTexts) {
  auto* name_of = find<const char*(int)>("probe_error_name");
  auto* text_of = find<const char*(int)>("probe_error_text");
  for (int error = 0; error < 1000; error++) {
    const std::string own = cudaGetErrorName(static_cast<cudaError_t>(error));
    if (own == "unrecognized error code") continue;  // one that simt never reports
    EXPECT_EQ(own, name_of(error));
    EXPECT_STREQ(cudaGetErrorString(static_cast<cudaError_t>(error)), text_of(error));
  }
}

bool same_or_nan(float a, float b) {
  return simt::bits_of(a) == simt::bits_of(b) || (a != a && b != b);
}

TEST_F(SimtFidelity, WideningIsExact) {
  auto* bf16 = find<float(unsigned short)>("probe_bf16_to_float");
  auto* f16 = find<float(unsigned short)>("probe_f16_to_float");
  for (unsigned bits = 0; bits < 65536; bits++) {
    const auto h = static_cast<unsigned short>(bits);
    ASSERT_TRUE(same_or_nan(simt::bf16_to_float(h), bf16(h))) << std::hex << bits;
    ASSERT_TRUE(same_or_nan(simt::f16_to_float(h), f16(h))) << std::hex << bits;
  }
}

// Every 251st float (a prime, so all exponents, ties and their neighbours occur), the values that lie
// exactly between two neighbours, and the first floats beside them.
TEST_F(SimtFidelity, NarrowingRoundsAlike) {
  auto* bf16 = find<unsigned short(float)>("probe_float_to_bf16");
  auto* f16 = find<unsigned short(float)>("probe_float_to_f16");
  const auto compare = [&](std::uint32_t bits) {
    const float f = simt::float_of(bits);
    ASSERT_EQ(simt::bf16_from_float(f), bf16(f)) << std::hex << bits;
    ASSERT_EQ(simt::f16_from_float(f), f16(f)) << std::hex << bits;
  };
  for (std::uint64_t bits = 0; bits < 0x100000000u; bits += 251)
    ASSERT_NO_FATAL_FAILURE(compare(static_cast<std::uint32_t>(bits)));
  for (std::uint32_t high = 0; high < 65536; high++)
    for (std::uint32_t low : {0x7fffu, 0x8000u, 0x8001u, 0x0fffu, 0x1000u, 0x1001u})
      ASSERT_NO_FATAL_FAILURE(compare(high << 16 | low));
}

}  // namespace
