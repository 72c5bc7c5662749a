#include "draw_kernels.inl"

namespace tt::cpu {

const DrawKernels kDrawAvx512 = {&TT_ISA_NAMESPACE::events, &TT_ISA_NAMESPACE::pairs};

}  // namespace tt::cpu
