#include "retrieval_kernels.inl"

namespace tt::cpu {

const RetrievalKernels kRetrievalAvx512 = {
    TT_ISA_NAMESPACE::kTileQueries,  &TT_ISA_NAMESPACE::inverse_norms,
    &TT_ISA_NAMESPACE::pack_queries, &TT_ISA_NAMESPACE::top_k,
    &TT_ISA_NAMESPACE::rank,         &TT_ISA_NAMESPACE::score};

}  // namespace tt::cpu
