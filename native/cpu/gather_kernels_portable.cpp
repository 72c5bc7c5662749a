#include "gather_kernels.inl"

namespace tt::cpu {

const GatherKernels kGatherPortable = {&TT_ISA_NAMESPACE::pool};

}  // namespace tt::cpu
