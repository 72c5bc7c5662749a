// 4 rows x 2 vectors: 8 of 16 registers accumulate, which leaves room for products that are no
// fused multiply-adds.
#include "make_kernels.h"
#include "operands_float.h"
#include "vec_portable.h"

namespace tt::cpu::loss {

const Kernels& portable_kernels() {
  static const Kernels kernels = make_kernels<FloatOperands<VecPortable, 4, 2>>();
  return kernels;
}

}  // namespace tt::cpu::loss
