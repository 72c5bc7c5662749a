// __half and __nv_bfloat16, their pairs, and the conversions of cuda_fp16.h and cuda_bf16.h that kernels
// use. Arithmetic goes through float: one rounding, as on the device, because float has more than twice
// the bits of either type.
#pragma once

#include "simt/math.h"

namespace simt {

// Round to nearest even. Every NaN becomes the canonical one, as the device's conversions do.
inline std::uint16_t bf16_from_float(float f) {
  const std::uint32_t u = bits_of(f);
  if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<std::uint16_t>((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
inline float bf16_to_float(std::uint16_t h) {
  return float_of(static_cast<std::uint32_t>(h) << 16);
}

inline std::uint16_t f16_from_float(float f) {
  const std::uint32_t u = bits_of(f), magnitude = u & 0x7fffffffu;
  const std::uint32_t sign = u >> 16 & 0x8000u;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u)
    return static_cast<std::uint16_t>(sign | 0x7c00u);  // 65520 rounds to infinity
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 leaves the rounded result in the low bits
    const std::uint32_t r = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    return static_cast<std::uint16_t>(sign | r);
  }
  return static_cast<std::uint16_t>(
      sign | ((magnitude - 0x38000000u + 0x0fffu + (magnitude >> 13 & 1u)) >> 13));
}
inline float f16_to_float(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 0x1fu, fraction = h & 0x3ffu;
  if (exponent == 0x1fu) return float_of(sign | 0x7f800000u | fraction << 13);
  if (exponent == 0) {
    const float value = static_cast<float>(fraction) * 5.9604644775390625e-8f;  // 2^-24
    return sign != 0 ? -value : value;
  }
  return float_of(sign | (exponent + 112u) << 23 | fraction << 13);
}

}  // namespace simt

struct __align__(2) __nv_bfloat16 {
  std::uint16_t bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(float f) : bits(simt::bf16_from_float(f)) {}
  operator float() const {
    return simt::bf16_to_float(bits);
  }
};
struct __align__(2) __half {
  std::uint16_t bits;
  __half() = default;
  __half(float f) : bits(simt::f16_from_float(f)) {}
  operator float() const {
    return simt::f16_to_float(bits);
  }
};
struct __align__(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
struct __align__(4) __half2 {
  __half x, y;
};
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;
using half = __half;
using half2 = __half2;

#define SIMT_HALF_OPERATORS(type)                             \
  inline type operator+(type a, type b) {                     \
    return static_cast<float>(a) + static_cast<float>(b);     \
  }                                                           \
  inline type operator-(type a, type b) {                     \
    return static_cast<float>(a) - static_cast<float>(b);     \
  }                                                           \
  inline type operator*(type a, type b) {                     \
    return static_cast<float>(a) * static_cast<float>(b);     \
  }                                                           \
  inline type operator/(type a, type b) {                     \
    return static_cast<float>(a) / static_cast<float>(b);     \
  }                                                           \
  inline bool operator==(type a, type b) {                    \
    return static_cast<float>(a) == static_cast<float>(b);    \
  }                                                           \
  inline bool operator!=(type a, type b) {                    \
    return static_cast<float>(a) != static_cast<float>(b);    \
  }                                                           \
  inline bool operator<(type a, type b) {                     \
    return static_cast<float>(a) < static_cast<float>(b);     \
  }                                                           \
  inline bool operator>(type a, type b) {                     \
    return static_cast<float>(a) > static_cast<float>(b);     \
  }                                                           \
  inline bool operator<=(type a, type b) {                    \
    return static_cast<float>(a) <= static_cast<float>(b);    \
  }                                                           \
  inline bool operator>=(type a, type b) {                    \
    return static_cast<float>(a) >= static_cast<float>(b);    \
  }                                                           \
  inline type __hadd(type a, type b) {                        \
    return a + b;                                             \
  }                                                           \
  inline type __hsub(type a, type b) {                        \
    return a - b;                                             \
  }                                                           \
  inline type __hmul(type a, type b) {                        \
    return a * b;                                             \
  }                                                           \
  inline type __hmax(type a, type b) {                        \
    return max(static_cast<float>(a), static_cast<float>(b)); \
  }                                                           \
  inline type __hmin(type a, type b) {                        \
    return min(static_cast<float>(a), static_cast<float>(b)); \
  }
SIMT_HALF_OPERATORS(__nv_bfloat16)
SIMT_HALF_OPERATORS(__half)
#undef SIMT_HALF_OPERATORS

inline __nv_bfloat16 __float2bfloat16(float f) {
  return f;
}
inline __nv_bfloat16 __float2bfloat16_rn(float f) {
  return f;
}
inline float __bfloat162float(__nv_bfloat16 h) {
  return h;
}
inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
  return {x, y};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) {
  return {v.x, v.y};
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) {
  return {x, y};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {v.x, v.y};
}
inline float __low2float(__nv_bfloat162 v) {
  return v.x;
}
inline float __high2float(__nv_bfloat162 v) {
  return v.y;
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) {
  return h.bits;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  __nv_bfloat16 h;
  h.bits = bits;
  return h;
}

inline __half __float2half(float f) {
  return f;
}
inline __half __float2half_rn(float f) {
  return f;
}
inline float __half2float(__half h) {
  return h;
}
inline __half2 __floats2half2_rn(float x, float y) {
  return {x, y};
}
inline __half2 __float22half2_rn(float2 v) {
  return {v.x, v.y};
}
inline __half2 __halves2half2(__half x, __half y) {
  return {x, y};
}
inline float2 __half22float2(__half2 v) {
  return {v.x, v.y};
}
inline float __low2float(__half2 v) {
  return v.x;
}
inline float __high2float(__half2 v) {
  return v.y;
}
inline unsigned short __half_as_ushort(__half h) {
  return h.bits;
}
inline __half __ushort_as_half(unsigned short bits) {
  __half h;
  h.bits = bits;
  return h;
}
