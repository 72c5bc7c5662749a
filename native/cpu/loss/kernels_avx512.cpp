// 14 rows x 2 vectors: 28 of 32 registers accumulate, 16 loads feed 28 multiply-adds.
#include "make_kernels.h"
#include "operands_float.h"
#include "vec_avx512.h"

namespace tt::cpu::loss {

const Kernels& avx512_kernels() {
  static const Kernels kernels = make_kernels<FloatOperands<Vec512, 14, 4>>();
  return kernels;
}

}  // namespace tt::cpu::loss
