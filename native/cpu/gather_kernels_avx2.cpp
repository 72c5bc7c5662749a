#include "gather_kernels.inl"

namespace tt::cpu {

const GatherKernels kGatherAvx2 = {&TT_ISA_NAMESPACE::pool};

}  // namespace tt::cpu
