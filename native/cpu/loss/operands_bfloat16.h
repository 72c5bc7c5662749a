// bfloat16 operands of the products: one element is two of them, multiplied and added into float by
// vdpbf16ps. Included by *_avx512bf16.cpp only.
#ifndef TWINTAIL_CPU_LOSS_OPERANDS_BFLOAT16_H
#define TWINTAIL_CPU_LOSS_OPERANDS_BFLOAT16_H

#include <immintrin.h>

#include <cstdint>

#include "vec_avx512.h"

namespace tt::cpu::loss {
namespace {

struct Bfloat16Operands {
  using Vec = Vec512;
  using T = __m512;
  using Element = uint32_t;
  using Operand = __m512bh;
  static constexpr bool kPairs = true;
  static constexpr int kTileRows = 14;
  static constexpr int kProductVectors = 4;

  static Operand load(const Element* p) { return reinterpret_cast<__m512bh>(_mm512_load_si512(p)); }
  static Operand broadcast(const Element* p) {
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(*p)));
  }
  static T multiply(Operand a, Operand b) { return madd(Vec::zero(), a, b); }
  static T madd(T sum, Operand a, Operand b) { return _mm512_dpbf16_ps(sum, a, b); }
  static T madd_loaded(T sum, Operand a, const Element* b) {
    asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "m"(*reinterpret_cast<const Operand*>(b)));
    return sum;
  }

  /// Floats k.. of one row, neighbours paired.
  static void store_row(Element* row, int k, T v) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(row + k / 2), half(v));
  }
  /// Floats k.. of rows 2 r and 2 r + 1, paired with each other.
  static void store_rows(Element* matrix, int64_t stride, int r, int k, T even, T odd) {
    const __m512i low = _mm512_cvtepu16_epi32(half(even));
    const __m512i high = _mm512_slli_epi32(_mm512_cvtepu16_epi32(half(odd)), 16);
    _mm512_store_si512(matrix + r * stride + k, _mm512_or_si512(low, high));
  }
  /// Two rows of a score tile: row by row for row_products (neighbouring columns are summed over),
  /// and interleaved for column_products (neighbouring rows are).
  static void store_weights(Element* weights, Element* pairs, int row, const T (&even)[2],
                            const T (&odd)[2]) {
    const __m512i e = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(even[1], even[0]));
    const __m512i o = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd[1], odd[0]));
    if (weights != nullptr) {
      _mm512_store_si512(weights + row * 16, e);
      _mm512_store_si512(weights + (row + 1) * 16, o);
    }
    if (pairs != nullptr) {
      const __m512i low = _mm512_load_si512(kInterleave);
      const __m512i high = _mm512_load_si512(kInterleave + 32);
      _mm512_store_si512(pairs + row * 16, _mm512_permutex2var_epi16(e, low, o));
      _mm512_store_si512(pairs + row * 16 + 16, _mm512_permutex2var_epi16(e, high, o));
    }
  }

 private:
  static __m256i half(T v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }

  // Element c of the even row beside element c of the odd row (index + 32).
  alignas(64) static constexpr uint16_t kInterleave[64] = {
      0,  32, 1,  33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39, 8,  40, 9,  41, 10, 42,
      11, 43, 12, 44, 13, 45, 14, 46, 15, 47, 16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53,
      22, 54, 23, 55, 24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63};
};

}  // namespace
}  // namespace tt::cpu::loss
#endif
