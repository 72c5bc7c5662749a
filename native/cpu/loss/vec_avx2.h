// Eight floats. Included by *_avx2.cpp only; everything is local to the including file.
#ifndef TWINTAIL_CPU_LOSS_VEC_AVX2_H
#define TWINTAIL_CPU_LOSS_VEC_AVX2_H

#include <immintrin.h>

#include <cstdint>

#include "exp2_constants.h"

namespace tt::cpu::loss {
namespace {

struct Vec256 {
  using T = __m256;
  static constexpr int kLanes = 8;
  static constexpr int kRegisters = 16;
  static constexpr bool kSharesCoefficients = false;

  static T zero() { return _mm256_setzero_ps(); }
  static T set1(float x) { return _mm256_set1_ps(x); }
  static T load(const float* p) { return _mm256_load_ps(p); }
  static T load_unaligned(const float* p) { return _mm256_loadu_ps(p); }
  static void store(float* p, T v) { _mm256_store_ps(p, v); }
  static void store_unaligned(float* p, T v) { _mm256_storeu_ps(p, v); }
  /// The first `count` floats, zeros behind them; nothing else is touched.
  static T load_part(const float* p, int count) { return _mm256_maskload_ps(p, first(count)); }
  static void store_part(float* p, T v, int count) { _mm256_maskstore_ps(p, first(count), v); }

  static T add(T a, T b) { return _mm256_add_ps(a, b); }
  static T sub(T a, T b) { return _mm256_sub_ps(a, b); }
  static T mul(T a, T b) { return _mm256_mul_ps(a, b); }
  static T fma(T a, T b, T c) { return _mm256_fmadd_ps(a, b, c); }
  /// The second operand where either is NaN.
  static T max(T a, T b) { return _mm256_max_ps(a, b); }
  /// value where the bit of the lane is set, else v.
  static T replace(T v, uint32_t bits, T value) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i set = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
    return _mm256_blendv_ps(v, value, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, lane)));
  }
  static float sum(T v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  /// Nearest bfloat16, ties to even.
  static T round_bfloat16(T v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
    return _mm256_castsi256_ps(_mm256_and_si256(up, _mm256_set1_epi32(~0xffff)));
  }

  /// 2^t for t in [-126, 127]: p(t - floor t), then floor t is added to the exponent.
  static T exp2(T t) {
    const T whole = _mm256_floor_ps(t);
    const T f = _mm256_sub_ps(t, whole);
    T p = _mm256_broadcast_ss(kExp2);
    for (int k = 1; k < 6; ++k) p = _mm256_fmadd_ps(p, f, _mm256_broadcast_ss(kExp2 + k));
    return add_exponent(p, whole);
  }
  /// The same for two vectors, each times a factor that is already in the coefficients of its
  /// polynomial: powers [6][2 kLanes].
  static void exp2_scaled(T (&t)[2], const float* powers) {
    for (int v = 0; v < 2; ++v, powers += kLanes) {
      const T whole = _mm256_floor_ps(t[v]);
      const T f = _mm256_sub_ps(t[v], whole);
      T p = load(powers);
      for (int k = 1; k < 6; ++k) p = _mm256_fmadd_ps(p, f, load(powers + 2 * k * kLanes));
      t[v] = add_exponent(p, whole);
    }
  }
  /// The same for t in [-inf, 127]; below -126 it stays at 2^-126. NaN stays NaN.
  static T exp2_any(T t) { return exp2(max(set1(-126.0f), t)); }

  static double dot(const float* x, const float* y, int d) {
    __m256d low = _mm256_setzero_pd(), high = _mm256_setzero_pd();
    for (int k = 0; k < d; k += kLanes) {
      const T a = d - k < kLanes ? load_part(x + k, d - k) : load_unaligned(x + k);
      const T b = d - k < kLanes ? load_part(y + k, d - k) : load_unaligned(y + k);
      low = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(a)),
                            _mm256_cvtps_pd(_mm256_castps256_ps128(b)), low);
      high = _mm256_fmadd_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)),
                             _mm256_cvtps_pd(_mm256_extractf128_ps(b, 1)), high);
    }
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

 private:
  /// p * 2^whole, both sides and the product in float's normal range.
  static T add_exponent(T p, T whole) {
    const __m256i exponent = _mm256_slli_epi32(_mm256_cvtps_epi32(whole), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
  }
  static __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
};

}  // namespace
}  // namespace tt::cpu::loss
#endif
