// Sixteen floats at a time, for the kernels that are compiled once per instruction set.
//
// The same operations in the same order on every set: one register with AVX-512, two with AVX2, four
// of 128 bits otherwise. Kernels that use neither fma() nor prefetches for their result therefore give
// the same bits on every instruction set. Only for files whose name ends in _<isa>.cpp; all of it
// lives in a namespace of the instruction set, so that no symbol is shared between differently
// compiled objects.
#ifndef TWINTAIL_CPU_VEC16_H
#define TWINTAIL_CPU_VEC16_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define TT_ISA_NAMESPACE isa_avx512
#elif defined(__AVX2__)
#include <immintrin.h>
#define TT_ISA_NAMESPACE isa_avx2
#else
#include <math.h>
#define TT_ISA_NAMESPACE isa_portable
#endif

#define TT_UNROLL _Pragma("GCC unroll 32")

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {

#if defined(__AVX512F__)

constexpr bool kHasFma = true;

// Some plain intrinsics start from an undefined register, which g++ 12 warns of: their zero-masked
// forms with all lanes on become the same instruction.
constexpr __mmask16 kAllLanes = 0xFFFF;

struct Vec16 {
  __m512 v;

  static Vec16 zero() { return {_mm512_setzero_ps()}; }
  static Vec16 all(float x) { return {_mm512_set1_ps(x)}; }
  static Vec16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  /// The first n lanes from p, the others 0; p + n and beyond are not touched.
  static Vec16 load(const float* p, int n) {
    return {_mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), p)};
  }
  static Vec16 load_bf16(const uint16_t* p) {
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(
        kAllLanes, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAllLanes, wide, 16))};
  }
  static Vec16 load_bf16(const uint16_t* p, int n) {
    const auto mask = static_cast<__mmask16>((1u << n) - 1);
    const __m512i wide = _mm512_maskz_cvtepu16_epi32(kAllLanes, _mm256_maskz_loadu_epi16(mask, p));
    return {_mm512_castsi512_ps(_mm512_maskz_slli_epi32(kAllLanes, wide, 16))};
  }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  /// Past the caches, at a multiple of 64 bytes; end_streams() makes it visible to other threads.
  void stream(float* p) const { _mm512_stream_ps(p, v); }
  void store(float* p, int n) const {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << n) - 1), v);
  }
};
inline Vec16 operator+(Vec16 a, Vec16 b) {
  return {_mm512_add_ps(a.v, b.v)};
}
inline Vec16 operator-(Vec16 a, Vec16 b) {
  return {_mm512_sub_ps(a.v, b.v)};
}
inline Vec16 operator*(Vec16 a, Vec16 b) {
  return {_mm512_mul_ps(a.v, b.v)};
}
inline Vec16 operator/(Vec16 a, Vec16 b) {
  return {_mm512_div_ps(a.v, b.v)};
}
inline Vec16 square_root(Vec16 a) {
  return {_mm512_maskz_sqrt_ps(kAllLanes, a.v)};
}
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) {
  return {_mm512_fmadd_ps(a.v, b.v, c.v)};
}
inline float sum(Vec16 a) {
  const __m512d pairs = _mm512_castps_pd(a.v);
  const __m256 low = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xFF, pairs, 0));
  const __m256 high = _mm256_castpd_ps(_mm512_maskz_extractf64x4_pd(0xFF, pairs, 1));
  const __m256 s8 = _mm256_add_ps(low, high);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

#elif defined(__AVX2__)

constexpr bool kHasFma = true;

// Eight lanes switched on from the back: reading at 8 - n gives the mask of the first n.
alignas(64) constexpr int32_t kMaskWindow[24] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0,
                                                 0,  0,  0,  0,  0,  0,  0,  0,  0, 0, 0, 0};
inline __m256i first_lanes(int n) {
  const int clamped = n < 0 ? 0 : n > 8 ? 8 : n;
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMaskWindow + 8 - clamped));
}
inline __m256 widen_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

struct Vec16 {
  __m256 lo, hi;

  static Vec16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
  static Vec16 all(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
  static Vec16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
  static Vec16 load(const float* p, int n) {
    return {_mm256_maskload_ps(p, first_lanes(n)), _mm256_maskload_ps(p + 8, first_lanes(n - 8))};
  }
  static Vec16 load_bf16(const uint16_t* p) { return {widen_bf16(p), widen_bf16(p + 8)}; }
  static Vec16 load_bf16(const uint16_t* p, int n) {
    uint16_t padded[16] = {};
    memcpy(padded, p, static_cast<size_t>(n) * 2);
    return load_bf16(padded);
  }
  void store(float* p) const {
    _mm256_storeu_ps(p, lo);
    _mm256_storeu_ps(p + 8, hi);
  }
  void stream(float* p) const {
    _mm256_stream_ps(p, lo);
    _mm256_stream_ps(p + 8, hi);
  }
  void store(float* p, int n) const {
    _mm256_maskstore_ps(p, first_lanes(n), lo);
    if (n > 8) _mm256_maskstore_ps(p + 8, first_lanes(n - 8), hi);
  }
};
inline Vec16 operator+(Vec16 a, Vec16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
inline Vec16 operator-(Vec16 a, Vec16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
inline Vec16 operator*(Vec16 a, Vec16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
inline Vec16 operator/(Vec16 a, Vec16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
inline Vec16 square_root(Vec16 a) {
  return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)};
}
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
inline float sum(Vec16 a) {
  const __m256 s8 = _mm256_add_ps(a.lo, a.hi);
  const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
  const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));
  return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}

#else

constexpr bool kHasFma = false;

typedef float Quad __attribute__((vector_size(16)));
typedef uint32_t QuadBits __attribute__((vector_size(16)));

struct Vec16 {
  Quad q[4];

  static Vec16 all(float x) {
    const Quad v = {x, x, x, x};
    return {{v, v, v, v}};
  }
  static Vec16 zero() { return all(0.0f); }
  static Vec16 load(const float* p) {
    Vec16 r;
    memcpy(&r, p, sizeof r);
    return r;
  }
  static Vec16 load(const float* p, int n) {
    Vec16 r = zero();
    memcpy(&r, p, static_cast<size_t>(n) * sizeof(float));
    return r;
  }
  static Vec16 load_bf16(const uint16_t* p) { return load_bf16(p, 16); }
  static Vec16 load_bf16(const uint16_t* p, int n) {
    uint32_t bits[16] = {};
    for (int i = 0; i < n; ++i) bits[i] = static_cast<uint32_t>(p[i]) << 16;
    Vec16 r;
    memcpy(&r, bits, sizeof r);
    return r;
  }
  void store(float* p) const { memcpy(p, this, sizeof *this); }
  void stream(float* p) const { store(p); }
  void store(float* p, int n) const { memcpy(p, this, static_cast<size_t>(n) * sizeof(float)); }
};
inline Vec16 operator+(Vec16 a, Vec16 b) {
  return {{a.q[0] + b.q[0], a.q[1] + b.q[1], a.q[2] + b.q[2], a.q[3] + b.q[3]}};
}
inline Vec16 operator-(Vec16 a, Vec16 b) {
  return {{a.q[0] - b.q[0], a.q[1] - b.q[1], a.q[2] - b.q[2], a.q[3] - b.q[3]}};
}
inline Vec16 operator*(Vec16 a, Vec16 b) {
  return {{a.q[0] * b.q[0], a.q[1] * b.q[1], a.q[2] * b.q[2], a.q[3] * b.q[3]}};
}
inline Vec16 operator/(Vec16 a, Vec16 b) {
  return {{a.q[0] / b.q[0], a.q[1] / b.q[1], a.q[2] / b.q[2], a.q[3] / b.q[3]}};
}
inline Vec16 square_root(Vec16 a) {
  Vec16 r;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j < 4; ++j) r.q[i][j] = sqrtf(a.q[i][j]);
  }
  return r;
}
/// Not fused here: the portable set has no fused multiply-add.
inline Vec16 fma(Vec16 a, Vec16 b, Vec16 c) {
  return a * b + c;
}
inline float sum(Vec16 a) {
  const Quad lo = a.q[0] + a.q[2];
  const Quad hi = a.q[1] + a.q[3];
  const Quad s4 = lo + hi;
  return (s4[0] + s4[2]) + (s4[1] + s4[3]);
}

#endif

inline void end_streams() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

// g++ takes a function of prefetches only for one without effect and drops its calls, unless it is
// inlined before it looks.
#define TT_PREFETCHES __attribute__((always_inline)) inline

TT_PREFETCHES void prefetch(const void* p) {
  __builtin_prefetch(p, 0, 3);
}
/// Into the second level only.
TT_PREFETCHES void prefetch_far(const void* p) {
  __builtin_prefetch(p, 0, 2);
}
TT_PREFETCHES void prefetch_write(const void* p) {
  __builtin_prefetch(p, 1, 3);
}

/// All cache lines of `bytes` bytes at p.
TT_PREFETCHES void prefetch_bytes(const void* p, size_t bytes) {
  const char* c = static_cast<const char*>(p);
  for (size_t at = 0; at < bytes; at += 64) prefetch(c + at);
  // A row that starts inside a line ends in one more.
  if ((reinterpret_cast<uintptr_t>(c) & 63) != 0) prefetch(c + bytes - 1);
}

/// The same into the second level, where more lines can be under way than to the first.
TT_PREFETCHES void prefetch_bytes_far(const void* p, size_t bytes) {
  const char* c = static_cast<const char*>(p);
  for (size_t at = 0; at < bytes; at += 64) prefetch_far(c + at);
  if ((reinterpret_cast<uintptr_t>(c) & 63) != 0) prefetch_far(c + bytes - 1);
}

/// The order in which the V vectors of a row at a random place are read: never three lines one behind the other, which
/// the processor takes for the begin of an array, of which it loads up to five more lines.
template <int V>
constexpr int scattered(int i) {
  constexpr int kThree[] = {1, 2, 0};
  constexpr int kFour[] = {1, 3, 0, 2};
  const int first = i / 4 * 4;
  return V - first >= 4 ? first + kFour[i - first] : V - first == 3 ? first + kThree[i - first] : i;
}
/// The compiler sorts loads by address where this does not stand between them.
template <int V>
inline void keep_order() {
  if (V > 2) asm volatile("" : : : "memory");
}

}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
#endif
