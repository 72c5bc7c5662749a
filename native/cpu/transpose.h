// Rows side by side as columns, for the packed operands of products. Local to the including file, which is compiled
// once per instruction set.
#ifndef TWINTAIL_CPU_TRANSPOSE_H
#define TWINTAIL_CPU_TRANSPOSE_H

#include <stdint.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tt::cpu {
namespace {

/// out[k * columns + c] = stage[c * stride + k] for k < depth; all are four bytes wide. columns and stride are multiples
/// of 4, stage is aligned to 16 bytes.
template <class Element>
inline void transpose(Element* out, int columns, const Element* stage, int stride, int depth) {
  for (int c = 0; c < columns; c += 4) {
    int k = 0;
#if defined(__SSE2__)
    for (; k + 4 <= depth; k += 4) {
      const auto* in = reinterpret_cast<const __m128i*>(stage + c * stride + k);
      const int64_t step = stride / 4;
      const __m128i r0 = _mm_load_si128(in), r1 = _mm_load_si128(in + step);
      const __m128i r2 = _mm_load_si128(in + 2 * step), r3 = _mm_load_si128(in + 3 * step);
      const __m128i a = _mm_unpacklo_epi32(r0, r1), b = _mm_unpacklo_epi32(r2, r3);
      const __m128i p = _mm_unpackhi_epi32(r0, r1), q = _mm_unpackhi_epi32(r2, r3);
      Element* to = out + k * columns + c;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_unpacklo_epi64(a, b));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + columns), _mm_unpackhi_epi64(a, b));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * columns), _mm_unpacklo_epi64(p, q));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 3 * columns), _mm_unpackhi_epi64(p, q));
    }
#endif
    for (; k < depth; ++k) {
      for (int i = c; i < c + 4; ++i) out[k * columns + i] = stage[i * stride + k];
    }
  }
}

}  // namespace
}  // namespace tt::cpu
#endif
