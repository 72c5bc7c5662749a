#include "loss/tuned.cuh"

namespace tt::cuda::loss::tuned {

TT_TUNED_WIDTH(32)

}  // namespace tt::cuda::loss::tuned
