// Nothing to add to a shared BLAS, which has its own locks (concurrency_test.cpp sees whether that
// is so) and its own buffers.
#include "blas_buffer.h"

namespace tt::blas {

const int64_t kBufferBytes = 0;

bool have_buffer() noexcept {
  return true;
}

}  // namespace tt::blas
