#include <immintrin.h>

#include "peak_loops.h"

namespace bench {

double peak_avx512bf16(int64_t rounds) {
  __m512 x[24];
#pragma GCC unroll 24
  for (auto& v : x) v = _mm512_setzero_ps();
  const __m512i a = _mm512_set1_epi32(0x3f003f00), b = _mm512_set1_epi32(0x3e803e80);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 24
    for (auto& v : x) asm volatile("vdpbf16ps %1, %2, %0" : "+v"(v) : "v"(a), "v"(b));
  }
  return 24 * 16 * 4;
}

}  // namespace bench
