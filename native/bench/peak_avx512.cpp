// 24 independent accumulators: six times the four cycles of latency at two a cycle are enough.
#include <immintrin.h>

#include "peak_loops.h"

namespace bench {

double peak_avx512(int64_t rounds) {
  __m512 x[24];
#pragma GCC unroll 24
  for (auto& v : x) v = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 24
    for (auto& v : x) asm volatile("vfmadd231ps %1, %2, %0" : "+v"(v) : "v"(a), "v"(b));
  }
  return 24 * 16 * 2;
}

}  // namespace bench
