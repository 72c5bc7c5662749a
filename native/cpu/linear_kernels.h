// What surrounds the matrix products of tt_linear, compiled once per instruction set. No sum is reordered,
// so every set gives the same bits.
#ifndef TWINTAIL_CPU_LINEAR_KERNELS_H
#define TWINTAIL_CPU_LINEAR_KERNELS_H

#include <stdint.h>

namespace tt::cpu {

struct LinearKernels {
  /// y [rows, out] += bias [out], which may be NULL; then negative values become 0 where `relu` (NaN stays).
  void (*finish)(int64_t rows, int32_t out, const float* bias, bool relu, float* y);
  /// masked[i] = y[i] > 0 ? grad[i] : 0.
  void (*mask)(int64_t count, const float* y, const float* grad, float* masked);
  /// sums [columns] += the sums of the columns of matrix [rows, columns], each rounded once: their terms
  /// cancel, their errors do not. The sums are overwritten where `first`.
  void (*add_columns)(int64_t rows, int32_t columns, const float* matrix, bool first, float* sums);
  /// total [count] += partial [count].
  void (*add)(int64_t count, const float* partial, float* total);
};

extern const LinearKernels kLinearPortable;
extern const LinearKernels kLinearAvx2;
extern const LinearKernels kLinearAvx512;

}  // namespace tt::cpu
#endif
