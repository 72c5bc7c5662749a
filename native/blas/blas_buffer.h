// The memory that a BLAS needs for a product.
#ifndef TWINTAIL_BLAS_BUFFER_H
#define TWINTAIL_BLAS_BUFFER_H

#include <cstdint>

namespace tt::blas {

/// What one thread's buffer takes of the address space; 0 where the BLAS looks after its own.
extern const int64_t kBufferBytes;

/// Whether the calling thread has a buffer, made by its first call and kept until the thread ends. False: the
/// system refused the address space, and another call tries again. Every thread calls this before it multiplies.
bool have_buffer() noexcept;

}  // namespace tt::blas
#endif
