// 6 rows x 2 vectors: 12 of 16 registers accumulate.
#include "make_kernels.h"
#include "operands_float.h"
#include "vec_avx2.h"

namespace tt::cpu::loss {

const Kernels& avx2_kernels() {
  static const Kernels kernels = make_kernels<FloatOperands<Vec256, 6, 2>>();
  return kernels;
}

}  // namespace tt::cpu::loss
