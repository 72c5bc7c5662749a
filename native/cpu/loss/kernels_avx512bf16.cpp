// The tiles of AVX-512, twice the depth at a time.
#include "make_kernels.h"
#include "operands_bfloat16.h"

namespace tt::cpu::loss {

const Kernels& avx512bf16_kernels() {
  static const Kernels kernels = make_kernels<Bfloat16Operands>();
  return kernels;
}

}  // namespace tt::cpu::loss
