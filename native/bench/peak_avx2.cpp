#include <immintrin.h>

#include "peak_loops.h"

namespace bench {

double peak_avx2(int64_t rounds) {
  __m256 x[12];
#pragma GCC unroll 12
  for (auto& v : x) v = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 12
    for (auto& v : x) asm volatile("vfmadd231ps %1, %2, %0" : "+x"(v) : "x"(a), "x"(b));
  }
  return 12 * 8 * 2;
}

void copy_non_temporal_avx2(float* to, const float* from, int64_t count) {
  for (int64_t i = 0; i + 8 <= count; i += 8) {
    _mm256_stream_ps(to + i, _mm256_load_ps(from + i));
  }
  _mm_sfence();
}

}  // namespace bench
