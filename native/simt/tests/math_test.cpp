// Arithmetic: exact functions exactly, approximate ones within their documented error.
#include "simt_test.h"

namespace {

double relative(double found, double expected) {
  return expected == 0.0 ? std::fabs(found) : std::fabs(found / expected - 1.0);
}

TEST(Math, Bits) {
  EXPECT_EQ(__popc(0xf0f0u), 8);
  EXPECT_EQ(__popcll(~0ull), 64);
  EXPECT_EQ(__ffs(0), 0);
  EXPECT_EQ(__ffs(8), 4);
  EXPECT_EQ(__clz(0), 32);
  EXPECT_EQ(__clz(1), 31);
  EXPECT_EQ(__clzll(1ll << 40), 23);
  EXPECT_EQ(__brev(1u), 0x80000000u);
  EXPECT_EQ(__brev(0x12345678u), 0x1e6a2c48u);
  EXPECT_EQ(__brevll(2ull), 1ull << 62);
  EXPECT_EQ(__byte_perm(0x03020100u, 0x07060504u, 0x7061u), 0x07000601u);
  EXPECT_EQ(__funnelshift_l(0x80000000u, 1u, 1), 3u);
  EXPECT_EQ(__funnelshift_r(0x80000000u, 1u, 31), 3u);
  EXPECT_EQ(__umulhi(0xffffffffu, 0xffffffffu), 0xfffffffeu);
  EXPECT_EQ(__mulhi(-2, 0x40000000), -1);
  EXPECT_EQ(__umul64hi(~0ull, ~0ull), ~0ull - 1);
}

TEST(Math, MinMaxIgnoreNan) {
  EXPECT_EQ(min(NAN, 2.0f), 2.0f);
  EXPECT_EQ(max(2.0f, NAN), 2.0f);
  EXPECT_EQ(min(-1, 2u), 2u);  // as unsigned
  EXPECT_EQ(max(3, 2), 3);
}

TEST(Math, ConversionsSaturate) {
  EXPECT_EQ(__float2int_rn(2.5f), 2);
  EXPECT_EQ(__float2int_rn(3.5f), 4);
  EXPECT_EQ(__float2int_rz(-2.9f), -2);
  EXPECT_EQ(__float2int_rd(-2.1f), -3);
  EXPECT_EQ(__float2int_ru(2.1f), 3);
  EXPECT_EQ(__float2int_rz(1e20f), 2147483647);
  EXPECT_EQ(__float2int_rz(-1e20f), -2147483647 - 1);
  EXPECT_EQ(__float2int_rz(NAN), 0);
  EXPECT_EQ(__float2uint_rz(-1.0f), 0u);
  EXPECT_EQ(__saturatef(NAN), 0.0f);
}

TEST(Math, ApproximationsAreCloseAndFlush) {
  for (float x : simt_test::random_floats(2000, 1, -80.0f, 80.0f)) {
    EXPECT_LT(relative(__expf(x), std::exp(static_cast<double>(x))),
              2e-7 * (2.0 + std::fabs(1.173 * x)));
    EXPECT_LT(relative(ptx::exp2_approx(x), std::exp2(static_cast<double>(x))), 3e-7);
    const float y = std::fabs(x) + 1e-3f;
    EXPECT_NEAR(__logf(y), std::log(static_cast<double>(y)), 1e-6);
    EXPECT_NEAR(ptx::log2_approx(y), std::log2(static_cast<double>(y)), 1e-6);
    EXPECT_LT(relative(rsqrtf(y), 1.0 / std::sqrt(static_cast<double>(y))), 2.4e-7);
    EXPECT_LT(relative(ptx::rcp_approx(y), 1.0 / static_cast<double>(y)), 2.4e-7);
    EXPECT_LT(relative(__fdividef(1.5f, y), 1.5 / static_cast<double>(y)), 2.4e-7);
  }
  EXPECT_EQ(ptx::exp2_approx(-126.0f), 1.17549435e-38f);
  EXPECT_EQ(ptx::exp2_approx(-126.5f), 0.0f);  // would be subnormal
  EXPECT_EQ(ptx::exp2_approx(-INFINITY), 0.0f);
  EXPECT_EQ(ptx::log2_approx(0.0f), -INFINITY);
  EXPECT_EQ(__fdividef(1.0f, 2e38f), 0.0f);
}

TEST(Math, PairsPutTheFirstLow) {
  EXPECT_EQ(ptx::pack_bf16(1.0f, -2.0f), 0xc0003f80u);
  EXPECT_EQ(ptx::pack_f16(1.0f, -2.0f), 0xc0003c00u);
}

// Widths and ties by hand; the CUDA toolkit's own conversions are compared in native/cuda/tests.
TEST(Math, HalvesRoundToNearestEven) {
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(simt::float_of(0x3f808000u))), 0x3f80);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(simt::float_of(0x3f818000u))), 0x3f82);
  EXPECT_EQ(__bfloat16_as_ushort(__float2bfloat16(3.4e38f)), 0x7f80);  // rounds to infinity
  EXPECT_EQ(__half_as_ushort(__float2half(65504.0f)), 0x7bff);
  EXPECT_EQ(__half_as_ushort(__float2half(65520.0f)), 0x7c00);
  EXPECT_EQ(__half_as_ushort(__float2half(5.9604645e-8f)), 0x0001);  // 2^-24, the smallest
  EXPECT_EQ(__half_as_ushort(__float2half(2.9802322e-8f)), 0x0000);  // half of it: to even
  EXPECT_EQ(__half2float(__ushort_as_half(0x8001)), -5.9604645e-8f);
  for (unsigned bits = 0; bits < 0x7c00; bits++) {
    const __half h = __ushort_as_half(static_cast<unsigned short>(bits));
    EXPECT_EQ(__half_as_ushort(__float2half(__half2float(h))), bits);
  }
  EXPECT_EQ(static_cast<float>(__float2half(1.5f) * __float2half(3.0f)), 4.5f);
  EXPECT_TRUE(__float2bfloat16(1.0f) < __float2bfloat16(2.0f));
}

TEST(Math, VectorTypesHaveDeviceAlignment) {
  static_assert(
      alignof(float2) == 8 && alignof(float4) == 16 && sizeof(float3) == 12 && alignof(float3) == 4,
      "");
  static_assert(
      alignof(double2) == 16 && alignof(uchar4) == 4 && alignof(short4) == 8 && sizeof(uint4) == 16,
      "");
  static_assert(alignof(__nv_bfloat162) == 4 && alignof(__half2) == 4 && sizeof(__nv_bfloat16) == 2,
                "");
  const float4 v = make_float4(1.0f, 2.0f, 3.0f, 4.0f);
  EXPECT_EQ(v.x + v.y + v.z + v.w, 10.0f);
}

}  // namespace
