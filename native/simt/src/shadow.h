// What the tools that see every memory access are told about device memory.
//
// SIMT_ASAN: AddressSanitizer's marks. SIMT_CHECK: the checker of check.cpp, which knows blocks, warps,
// barriers and asynchronous copies. Otherwise nothing sees accesses; guard pages and patterns have to do.
#pragma once

#include <cstddef>

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#elif defined(SIMT_TSAN)
extern "C" void AnnotateIgnoreReadsBegin(const char* file, int line);
extern "C" void AnnotateIgnoreReadsEnd(const char* file, int line);
extern "C" void AnnotateIgnoreWritesBegin(const char* file, int line);
extern "C" void AnnotateIgnoreWritesEnd(const char* file, int line);
#endif

namespace simt {
struct AsyncCopy;
namespace shadow {

#if defined(SIMT_ASAN)
constexpr bool kAsan = true;
inline void forbid(const void* p, std::size_t bytes) {
  __asan_poison_memory_region(p, bytes);
}
inline void allow(const void* p, std::size_t bytes) {
  __asan_unpoison_memory_region(p, bytes);
}
#else
constexpr bool kAsan = false;
inline void forbid(const void*, std::size_t) {}
inline void allow(const void*, std::size_t) {}
#endif

// While one lives, what the running fiber does is the machine's doing, not its CUDA thread's. The machine is
// not compiled with ThreadSanitizer, but that sees the calls of memset and free in it all the same.
class Unwatched {
 public:
#if defined(SIMT_TSAN)
  Unwatched() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
#else
  Unwatched() {}
#endif
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

#if defined(SIMT_CHECK)
// Memory comes and goes. New memory holds nothing that may be read.
void add(const void* p, std::size_t bytes, bool shared);
void remove(const void* p);
void forget(const void* p);  // shared memory at the start of a block
// What the host did: whole ranges inside one region.
void host_wrote(const void* p, std::size_t bytes);
void host_copied(const void* to, const void* from, std::size_t bytes);
// What the machine did.
void grid_starts(const void* arguments, std::size_t bytes);
void block_starts();
void all_synced();                               // __syncthreads
void warp_synced(unsigned warp, unsigned mask);  // __syncwarp
void barrier_arrived(unsigned barrier);          // a named one, by the current thread
void barrier_synced(unsigned barrier);           // all that wait in it go on
void released(const void* point);                // an mbarrier: by the current thread
void acquired(const void* point);
void fenced();        // __threadfence
void proxy_fenced();  // fence.proxy.async, by the current thread
void copy_started(const AsyncCopy& copy);
void copy_arrives(const AsyncCopy& copy);
#else
inline void add(const void*, std::size_t, bool) {}
inline void remove(const void*) {}
inline void forget(const void*) {}
inline void host_wrote(const void*, std::size_t) {}
inline void host_copied(const void*, const void*, std::size_t) {}
inline void grid_starts(const void*, std::size_t) {}
inline void block_starts() {}
inline void all_synced() {}
inline void warp_synced(unsigned, unsigned) {}
inline void barrier_arrived(unsigned) {}
inline void barrier_synced(unsigned) {}
inline void released(const void*) {}
inline void acquired(const void*) {}
inline void fenced() {}
inline void proxy_fenced() {}
inline void copy_started(const AsyncCopy&) {}
inline void copy_arrives(const AsyncCopy&) {}
#endif

}  // namespace shadow
}  // namespace simt
