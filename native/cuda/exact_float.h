// A float whose sums and products are rounded one by one: the optimisers give the same bits in every kernel, and
// those of the CPU (nvcc fuses those of plain floats). Their arithmetic (optimizer_plan.h) takes it as its T.
#pragma once

#include "device.h"

namespace tt::cuda {

struct ExactFloat {
  float v;
  static __device__ __forceinline__ ExactFloat all(float x) { return ExactFloat{x}; }
};
__device__ __forceinline__ ExactFloat operator+(ExactFloat a, ExactFloat b) {
  return ExactFloat{__fadd_rn(a.v, b.v)};
}
__device__ __forceinline__ ExactFloat operator-(ExactFloat a, ExactFloat b) {
  return ExactFloat{__fsub_rn(a.v, b.v)};
}
__device__ __forceinline__ ExactFloat operator*(ExactFloat a, ExactFloat b) {
  return ExactFloat{__fmul_rn(a.v, b.v)};
}
__device__ __forceinline__ ExactFloat operator/(ExactFloat a, ExactFloat b) {
  return ExactFloat{__fdiv_rn(a.v, b.v)};
}
__device__ __forceinline__ ExactFloat square_root(ExactFloat a) {
  return ExactFloat{__fsqrt_rn(a.v)};
}

}  // namespace tt::cuda
