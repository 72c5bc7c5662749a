#include "merge_kernels.inl"

namespace tt::cpu {

const MergeKernels kMergeAvx512 = {&TT_ISA_NAMESPACE::sum_segment, &TT_ISA_NAMESPACE::merge,
                                   &TT_ISA_NAMESPACE::finish, &TT_ISA_NAMESPACE::add_rows,
                                   &TT_ISA_NAMESPACE::dense};

}  // namespace tt::cpu
