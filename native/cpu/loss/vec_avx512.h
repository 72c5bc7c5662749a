// Sixteen floats. Included by *_avx512*.cpp only; everything is local to the including file.
#ifndef TWINTAIL_CPU_LOSS_VEC_AVX512_H
#define TWINTAIL_CPU_LOSS_VEC_AVX512_H

#include <immintrin.h>

#include <cstdint>

#include "exp2_constants.h"

namespace tt::cpu::loss {
namespace {

struct Vec512 {
  using T = __m512;
  static constexpr int kLanes = 16;
  static constexpr int kRegisters = 32;
  static constexpr bool kSharesCoefficients = true;

  static T zero() { return _mm512_setzero_ps(); }
  static T set1(float x) { return _mm512_set1_ps(x); }
  static T load(const float* p) { return _mm512_load_ps(p); }
  static T load_unaligned(const float* p) { return _mm512_loadu_ps(p); }
  static void store(float* p, T v) { _mm512_store_ps(p, v); }
  static void store_unaligned(float* p, T v) { _mm512_storeu_ps(p, v); }
  /// The first `count` floats, zeros behind them; nothing else is touched.
  static T load_part(const float* p, int count) { return _mm512_maskz_loadu_ps(first(count), p); }
  static void store_part(float* p, T v, int count) { _mm512_mask_storeu_ps(p, first(count), v); }

  static T add(T a, T b) { return _mm512_add_ps(a, b); }
  static T sub(T a, T b) { return _mm512_sub_ps(a, b); }
  static T mul(T a, T b) { return _mm512_mul_ps(a, b); }
  static T fma(T a, T b, T c) { return _mm512_fmadd_ps(a, b, c); }
  /// a * (the vector at b) + c without a register for b: as an intrinsic the compiler would load b once and keep it.
  static T fma_loaded(T a, const float* b, T c) {
    asm("vfmadd231ps %2, %1, %0" : "+v"(c) : "v"(a), "m"(*reinterpret_cast<const T*>(b)));
    return c;
  }
  static T max(T a, T b) { return _mm512_max_ps(a, b); }
  /// value where the bit of the lane is set, else v.
  static T replace(T v, uint32_t bits, T value) {
    return _mm512_mask_mov_ps(v, static_cast<__mmask16>(bits), value);
  }
  static float sum(T v) { return _mm512_reduce_add_ps(v); }
  /// Nearest bfloat16, ties to even.
  static T round_bfloat16(T v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32(~0xffff)));
  }

  /// 2^t for any t: p(t - floor t) * 2^floor(t). vreduceps and vscalefps do the splitting and the
  /// scaling, right down to zero and NaN. Written as assembly because 28 accumulators are alive
  /// around it: with intrinsics the compiler keeps the six constants in registers and spills those,
  /// here they are memory operands and two temporaries suffice.
  static T exp2(T t) {
    T f, p;
    asm("vreduceps $0x09, %0, %1\n\t"
        "vbroadcastss 0(%3), %2\n\t"
        "vfmadd213ps 4(%3)%{1to16%}, %1, %2\n\t"
        "vfmadd213ps 8(%3)%{1to16%}, %1, %2\n\t"
        "vfmadd213ps 12(%3)%{1to16%}, %1, %2\n\t"
        "vfmadd213ps 16(%3)%{1to16%}, %1, %2\n\t"
        "vfmadd213ps 20(%3)%{1to16%}, %1, %2\n\t"
        "vscalefps %0, %2, %0"
        : "+v"(t), "=&v"(f), "=&v"(p)
        : "r"(kExp2), "m"(kExp2));
    return t;
  }
  static T exp2_any(T t) { return exp2(t); }
  /// The same for two vectors, each times a factor that is already in the coefficients of its
  /// polynomial: powers [6][2 kLanes]. In turns, since 28 more wait behind them.
  static void exp2_scaled(T (&t)[2], const float* powers) {
    T f, g, p, q;
    asm("vreduceps $0x09, %0, %2\n\t"
        "vreduceps $0x09, %1, %3\n\t"
        "vmovaps 0(%6), %4\n\t"
        "vmovaps 64(%6), %5\n\t"
        "vfmadd213ps 128(%6), %2, %4\n\t"
        "vfmadd213ps 192(%6), %3, %5\n\t"
        "vfmadd213ps 256(%6), %2, %4\n\t"
        "vfmadd213ps 320(%6), %3, %5\n\t"
        "vfmadd213ps 384(%6), %2, %4\n\t"
        "vfmadd213ps 448(%6), %3, %5\n\t"
        "vfmadd213ps 512(%6), %2, %4\n\t"
        "vfmadd213ps 576(%6), %3, %5\n\t"
        "vfmadd213ps 640(%6), %2, %4\n\t"
        "vfmadd213ps 704(%6), %3, %5\n\t"
        "vscalefps %0, %4, %0\n\t"
        "vscalefps %1, %5, %1"
        : "+v"(t[0]), "+v"(t[1]), "=&v"(f), "=&v"(g), "=&v"(p), "=&v"(q)
        : "r"(powers), "m"(*reinterpret_cast<const float(*)[192]>(powers)));
  }

  /// The same for one vector of each of two rows: coefficients are loaded once.
  static void exp2_scaled_rows(T& a, T& b, const float* powers) {
    T f, g, p, q, c;
    asm("vreduceps $0x09, %0, %2\n\t"
        "vreduceps $0x09, %1, %3\n\t"
        "vmovaps 0(%7), %4\n\t"
        "vmovaps 128(%7), %6\n\t"
        "vmovaps %4, %5\n\t"
        "vfmadd213ps %6, %2, %4\n\t"
        "vfmadd213ps %6, %3, %5\n\t"
        "vmovaps 256(%7), %6\n\t"
        "vfmadd213ps %6, %2, %4\n\t"
        "vfmadd213ps %6, %3, %5\n\t"
        "vmovaps 384(%7), %6\n\t"
        "vfmadd213ps %6, %2, %4\n\t"
        "vfmadd213ps %6, %3, %5\n\t"
        "vmovaps 512(%7), %6\n\t"
        "vfmadd213ps %6, %2, %4\n\t"
        "vfmadd213ps %6, %3, %5\n\t"
        "vmovaps 640(%7), %6\n\t"
        "vfmadd213ps %6, %2, %4\n\t"
        "vfmadd213ps %6, %3, %5\n\t"
        "vscalefps %0, %4, %0\n\t"
        "vscalefps %1, %5, %1"
        : "+v"(a), "+v"(b), "=&v"(f), "=&v"(g), "=&v"(p), "=&v"(q), "=&v"(c)
        : "r"(powers), "m"(*reinterpret_cast<const float(*)[176]>(powers)));
  }

  static double dot(const float* x, const float* y, int d) {
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int k = 0; k < d; k += kLanes) {
      const T a = d - k < kLanes ? load_part(x + k, d - k) : load_unaligned(x + k);
      const T b = d - k < kLanes ? load_part(y + k, d - k) : load_unaligned(y + k);
      low = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_castps512_ps256(a)),
                            _mm512_cvtps_pd(_mm512_castps512_ps256(b)), low);
      high = _mm512_fmadd_pd(_mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)),
                             _mm512_cvtps_pd(_mm512_extractf32x8_ps(b, 1)), high);
    }
    return _mm512_reduce_add_pd(_mm512_add_pd(low, high));
  }

 private:
  static __mmask16 first(int count) {
    return static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1);
  }
};

}  // namespace
}  // namespace tt::cpu::loss
#endif
