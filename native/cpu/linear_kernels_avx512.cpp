#include "linear_kernels.inl"

namespace tt::cpu {

const LinearKernels kLinearAvx512 = {&TT_ISA_NAMESPACE::finish, &TT_ISA_NAMESPACE::mask,
                                     &TT_ISA_NAMESPACE::add_columns, &TT_ISA_NAMESPACE::add};

}  // namespace tt::cpu
