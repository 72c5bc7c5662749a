// CUDA's arithmetic functions. Approximate ones are computed the way the device does it, from base-2
// operations on rounded operands (CUDA C++ Programming Guide, "Intrinsic functions"), so that their
// characteristic error is here too; the last bits of the device's own tables are not reproduced.
#pragma once

#include "simt/vector_types.h"

namespace simt {

inline float float_of(std::uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
inline std::uint32_t bits_of(float f) {
  std::uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}
// Subnormal numbers become zeros of the same sign: the .ftz of PTX.
inline float flush(float f) {
  return (bits_of(f) & 0x7f800000u) == 0 ? float_of(bits_of(f) & 0x80000000u) : f;
}

inline float exp2_approx(float x) {
  return flush(std::exp2(flush(x)));
}  // ex2.approx.ftz.f32
inline float log2_approx(float x) {
  return flush(std::log2(flush(x)));
}  // lg2.approx.ftz.f32
inline float rcp_approx(float x) {
  return flush(1.0f / flush(x));
}  // rcp.approx.ftz.f32
inline float fast_exp(float x) {
  return std::exp2(x * 1.4426950408889634f);
}
inline float fast_exp10(float x) {
  return std::exp2(x * 3.3219280948873623f);
}
inline float fast_log(float x) {
  return std::log2(x) * 0.6931471805599453f;
}
inline float fast_log10(float x) {
  return std::log2(x) * 0.3010299956639812f;
}
inline float fast_pow(float x, float y) {
  return std::exp2(y * std::log2(x));
}
inline float rsqrt(float x) {
  return 1.0f / std::sqrt(x);
}
inline double rsqrt(double x) {
  return 1.0 / std::sqrt(x);
}

}  // namespace simt

// Macros, because glibc declares functions of the same names.
#define __expf(x) ::simt::fast_exp(x)
#define __exp10f(x) ::simt::fast_exp10(x)
#define __logf(x) ::simt::fast_log(x)
#define __log2f(x) ::std::log2(static_cast<float>(x))
#define __log10f(x) ::simt::fast_log10(x)
#define __powf(x, y) ::simt::fast_pow(x, y)
#define __sinf(x) ::std::sin(static_cast<float>(x))
#define __cosf(x) ::std::cos(static_cast<float>(x))
#define rsqrtf(x) ::simt::rsqrt(static_cast<float>(x))
#define exp10f(x) ::std::pow(10.0f, static_cast<float>(x))

inline float __fdividef(float a, float b) {
  const float magnitude = std::fabs(b);  // beyond 2^126 the device's reciprocal is zero
  if (magnitude > 8.507059173023462e37f && magnitude <= 3.4028234663852886e38f) return a * 0.0f;
  return a / b;
}
inline float __fadd_rn(float a, float b) {
  return a + b;
}
inline float __fsub_rn(float a, float b) {
  return a - b;
}
inline float __fmul_rn(float a, float b) {
  return a * b;
}
inline float __fdiv_rn(float a, float b) {
  return a / b;
}
inline float __fmaf_rn(float a, float b, float c) {
  return std::fma(a, b, c);
}
inline float __frcp_rn(float a) {
  return 1.0f / a;
}
inline float __fsqrt_rn(float a) {
  return std::sqrt(a);
}
inline float __frsqrt_rn(float a) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(a)));
}
inline float __saturatef(float a) {
  return a > 0.0f ? (a < 1.0f ? a : 1.0f) : 0.0f;
}  // NaN: 0
inline double __dadd_rn(double a, double b) {
  return a + b;
}
inline double __dmul_rn(double a, double b) {
  return a * b;
}

inline float __uint_as_float(unsigned u) {
  return simt::float_of(u);
}
inline unsigned __float_as_uint(float f) {
  return simt::bits_of(f);
}
inline float __int_as_float(int i) {
  return simt::float_of(static_cast<unsigned>(i));
}
inline int __float_as_int(float f) {
  return static_cast<int>(simt::bits_of(f));
}
inline long long __double_as_longlong(double d) {
  long long i;
  std::memcpy(&i, &d, sizeof i);
  return i;
}
inline double __longlong_as_double(long long i) {
  double d;
  std::memcpy(&d, &i, sizeof d);
  return d;
}

// Conversions saturate, and NaN becomes 0, as cvt does.
#define SIMT_FLOAT_TO_INT(name, type, round, low, high) \
  inline type name(float f) {                           \
    const double d = round(static_cast<double>(f));     \
    return d != d      ? 0                              \
           : d <= low  ? static_cast<type>(low)         \
           : d >= high ? static_cast<type>(high)        \
                       : static_cast<type>(d);          \
  }
SIMT_FLOAT_TO_INT(__float2int_rn, int, std::nearbyint, -2147483648.0, 2147483647.0)
SIMT_FLOAT_TO_INT(__float2int_rz, int, std::trunc, -2147483648.0, 2147483647.0)
SIMT_FLOAT_TO_INT(__float2int_rd, int, std::floor, -2147483648.0, 2147483647.0)
SIMT_FLOAT_TO_INT(__float2int_ru, int, std::ceil, -2147483648.0, 2147483647.0)
SIMT_FLOAT_TO_INT(__float2uint_rn, unsigned, std::nearbyint, 0.0, 4294967295.0)
SIMT_FLOAT_TO_INT(__float2uint_rz, unsigned, std::trunc, 0.0, 4294967295.0)
#undef SIMT_FLOAT_TO_INT
inline float __int2float_rn(int i) {
  return static_cast<float>(i);
}
inline float __uint2float_rn(unsigned u) {
  return static_cast<float>(u);
}

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
  return __builtin_popcountll(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
  return __builtin_ffsll(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline int __clzll(long long x) {
  return x == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(x));
}
inline unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
  return r;
}
inline unsigned long long __brevll(unsigned long long x) {
  return static_cast<unsigned long long>(__brev(static_cast<unsigned>(x))) << 32 |
         __brev(static_cast<unsigned>(x >> 32));
}
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const unsigned long long bytes = static_cast<unsigned long long>(y) << 32 | x;
  unsigned r = 0;
  for (int i = 0; i < 4; i++)
    r |= static_cast<unsigned>(bytes >> (selector >> 4 * i & 7u) * 8 & 0xffu) << 8 * i;
  return r;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>(
      ((static_cast<unsigned long long>(high) << 32 | low) << (shift & 31u)) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
  return static_cast<unsigned>((static_cast<unsigned long long>(high) << 32 | low) >>
                               (shift & 31u));
}
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>(static_cast<unsigned long long>(a) * b >> 32);
}
inline int __mulhi(int a, int b) {
  return static_cast<int>(static_cast<long long>(a) * b >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>(static_cast<Wide>(a) * b >> 64);
}

// min and max as CUDA overloads them; of a number and a NaN both give the number (fminf, fmaxf).
#define SIMT_MIN_MAX(type)          \
  inline type min(type a, type b) { \
    return b < a ? b : a;           \
  }                                 \
  inline type max(type a, type b) { \
    return a < b ? b : a;           \
  }
SIMT_MIN_MAX(int)
SIMT_MIN_MAX(unsigned)
SIMT_MIN_MAX(long)
SIMT_MIN_MAX(unsigned long)
SIMT_MIN_MAX(long long)
SIMT_MIN_MAX(unsigned long long)
#undef SIMT_MIN_MAX
inline float min(float a, float b) {
  return std::fmin(a, b);
}
inline float max(float a, float b) {
  return std::fmax(a, b);
}
inline double min(double a, double b) {
  return std::fmin(a, b);
}
inline double max(double a, double b) {
  return std::fmax(a, b);
}
inline unsigned min(unsigned a, int b) {
  return min(a, static_cast<unsigned>(b));
}
inline unsigned min(int a, unsigned b) {
  return min(static_cast<unsigned>(a), b);
}
inline unsigned max(unsigned a, int b) {
  return max(a, static_cast<unsigned>(b));
}
inline unsigned max(int a, unsigned b) {
  return max(static_cast<unsigned>(a), b);
}
