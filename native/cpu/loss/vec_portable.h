// Four floats in the compiler's own vector type: SSE2 on x86-64, Neon on AArch64, without a fused
// multiply-add. Everything is local to the including file.
#ifndef TWINTAIL_CPU_LOSS_VEC_PORTABLE_H
#define TWINTAIL_CPU_LOSS_VEC_PORTABLE_H

#include <cstdint>
#include <cstring>

#include "exp2_constants.h"

namespace tt::cpu::loss {
namespace {

struct VecPortable {
  typedef float T __attribute__((vector_size(16)));
  typedef int32_t Int __attribute__((vector_size(16)));
  typedef uint32_t Unsigned __attribute__((vector_size(16)));
  static constexpr int kLanes = 4;
  static constexpr int kRegisters = 16;
  static constexpr bool kSharesCoefficients = false;

  static T zero() { return T{}; }
  static T set1(float x) { return T{x, x, x, x}; }
  static T load(const float* p) { return load_unaligned(p); }
  static T load_unaligned(const float* p) {
    T v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static void store(float* p, T v) { store_unaligned(p, v); }
  static void store_unaligned(float* p, T v) { std::memcpy(p, &v, sizeof v); }
  /// The first `count` floats, zeros behind them; nothing else is touched.
  static T load_part(const float* p, int count) {
    T v = zero();
    for (int k = 0; k < kLanes; ++k) v[k] = k < count ? p[k] : 0.0f;
    return v;
  }
  static void store_part(float* p, T v, int count) {
    for (int k = 0; k < kLanes; ++k) {
      if (k < count) p[k] = v[k];
    }
  }

  static T add(T a, T b) { return a + b; }
  static T sub(T a, T b) { return a - b; }
  static T mul(T a, T b) { return a * b; }
  static T fma(T a, T b, T c) { return a * b + c; }
  /// The second operand where either is NaN.
  static T max(T a, T b) { return select(a > b, a, b); }
  /// value where the bit of the lane is set, else v.
  static T replace(T v, uint32_t bits, T value) {
    const Int lane = {1, 2, 4, 8};
    const int32_t all = static_cast<int32_t>(bits);
    return select((Int{all, all, all, all} & lane) == lane, value, v);
  }
  static float sum(T v) { return (v[0] + v[2]) + (v[1] + v[3]); }
  /// Nearest bfloat16, ties to even.
  static T round_bfloat16(T v) {
    const Unsigned bits = (Unsigned)v;
    return (T)((bits + ((bits >> 16) & 1) + 0x7fff) & ~0xffffu);
  }

  /// 2^t for t in [-126, 127]: p(t - floor t), then floor t is added to the exponent. t + 127 is not
  /// negative, so truncation is floor; that it may round up to the next integer only makes f a
  /// little negative.
  static T exp2(T t) {
    const Int whole = floor(t);
    const T f = t - __builtin_convertvector(whole, T);
    T p = set1(kExp2[0]);
    for (int k = 1; k < 6; ++k) p = p * f + kExp2[k];
    return add_exponent(p, whole, t);
  }
  /// The same for two vectors, each times a factor that is already in the coefficients of its
  /// polynomial: powers [6][2 kLanes].
  static void exp2_scaled(T (&t)[2], const float* powers) {
    for (int v = 0; v < 2; ++v, powers += kLanes) {
      const Int whole = floor(t[v]);
      const T f = t[v] - __builtin_convertvector(whole, T);
      T p = load(powers);
      for (int k = 1; k < 6; ++k) p = p * f + load(powers + 2 * k * kLanes);
      t[v] = add_exponent(p, whole, t[v]);
    }
  }
  /// The same for t in [-inf, 127]; below -126 it stays at 2^-126. NaN stays NaN.
  static T exp2_any(T t) { return exp2(max(set1(-126.0f), t)); }

  static double dot(const float* x, const float* y, int d) {
    double sum[4] = {0, 0, 0, 0};
    int k = 0;
    for (; k + 4 <= d; k += 4) {
      for (int c = 0; c < 4; ++c) sum[c] += static_cast<double>(x[k + c]) * y[k + c];
    }
    for (; k < d; ++k) sum[0] += static_cast<double>(x[k]) * y[k];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
  }

 private:
  // Unsigned arithmetic: scores that are masked later, or NaN, may be beyond the range.
  static Int floor(T t) {
    return (Int)((Unsigned) __builtin_convertvector(t + 127.0f, Int) - 127u);
  }
  /// p * 2^whole; NaN where t is.
  static T add_exponent(T p, Int whole, T t) {
    return select(t == t, (T)((Unsigned)p + ((Unsigned)whole << 23)), t);
  }
  static T select(Int mask, T yes, T no) { return (T)((mask & (Int)yes) | (~mask & (Int)no)); }
};

}  // namespace
}  // namespace tt::cpu::loss
#endif
