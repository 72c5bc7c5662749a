#include "gather_kernels.inl"

namespace tt::cpu {

const GatherKernels kGatherAvx512 = {&TT_ISA_NAMESPACE::pool};

}  // namespace tt::cpu
