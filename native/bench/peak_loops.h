// Dependent-free multiply-add loops in assembly, so that no compiler can improve on them.
#ifndef TWINTAIL_BENCH_PEAK_LOOPS_H
#define TWINTAIL_BENCH_PEAK_LOOPS_H

#include <cstdint>

namespace bench {

/// Runs `rounds` rounds and returns the floating-point operations of one round.
double peak_portable(int64_t rounds);
#if defined(__x86_64__)
double peak_avx2(int64_t rounds);
double peak_avx512(int64_t rounds);
double peak_avx512bf16(int64_t rounds);
void copy_non_temporal_avx2(float* to, const float* from, int64_t count);
#endif

}  // namespace bench
#endif
