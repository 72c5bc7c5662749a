// The checker's view of one access by a kernel (SIMT_CHECK). tsan_entry.cpp calls it for every load,
// store and atomic of kernel code.
#pragma once

#include <cstddef>

namespace simt {
namespace check {

enum class Access { kRead, kWrite, kAtomic };

void access(const void* p, std::size_t bytes, Access kind, const void* code);
// The same for an access that needs natural alignment on a GPU (1, 2, 4, 8 or 16 bytes).
void aligned_access(const void* p, std::size_t bytes, Access kind, const void* code);
// A read-modify-write: also orders blocks that hand over data by __threadfence and an atomic.
void handshake(const void* p);

}  // namespace check
}  // namespace simt
