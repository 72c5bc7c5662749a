#include "loss/tuned.cuh"

namespace tt::cuda::loss::tuned {

TT_TUNED_WIDTH(256)

}  // namespace tt::cuda::loss::tuned
