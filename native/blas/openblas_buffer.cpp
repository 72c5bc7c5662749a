// Gives every thread that multiplies a packing buffer of its own, in place of OpenBLAS's buffer manager.
//
// OpenBLAS takes the buffer of a call from a table (memory.c). In Debian's serial flavour two threads can be handed
// the same one, and both get wrong results. With a mutex around it the table still has 128 places, and writes out of
// bounds when there are more calls at once; tries for ever when the system refuses a buffer; is unmapped at exit
// under the threads that still multiply; and a fork can leave the mutex locked in the child. So the linker sends
// the functions that touch the table here (--wrap), and none of them is ever called: there is nothing to lock, to
// run out of or to tear down.
#include <sys/mman.h>

#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "blas_buffer.h"

extern "C" {

void* __wrap_blas_memory_alloc(int position);
void __wrap_blas_memory_free(void* buffer);
void __wrap_gotoblas_dynamic_quit();
// Weak: only a library with kernels for several processors has it.
void gotoblas_dynamic_init() __attribute__((weak));

}  // extern "C"

namespace {

// OpenBLAS's BUFFER_SIZE, 32 << 22 on every 64-bit processor, and the page that it adds. The sizes of the packed
// blocks follow from it, so a product stays within.
constexpr size_t kBytes = (size_t{32} << 22) + 4096;

// The calling thread's buffer. A thread cannot leave a product half done, so its buffer is free whenever it asks, in
// a forked child too.
thread_local void* memory = nullptr;
thread_local bool lent = false;

// Unmaps the buffer of a thread that ends. It is none of its own members, for the thread may multiply once more in an
// exit handler or the destructor of a key: a buffer forgotten here is made anew there, and stays.
struct Unmapper {
  ~Unmapper() {
    if (memory != nullptr) munmap(memory, kBytes);
    memory = nullptr;
  }
  void watch() {}
};
thread_local Unmapper unmapper;

// Address space alone: a product touches, and the system then backs, as much as its blocks are large. That is why
// no count of memory includes it.
void* own_buffer() noexcept {
  if (memory == nullptr) {
    void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    memory = mapped;
    unmapper.watch();
  }
  return memory;
}

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "Twintail: %s\n", why);
  std::abort();
}

// Chooses the kernels. OpenBLAS's own constructor is linked only with its buffer manager.
__attribute__((constructor)) void choose_kernels() {
  if (gotoblas_dynamic_init != nullptr) gotoblas_dynamic_init();
}

}  // namespace

namespace tt::blas {

const int64_t kBufferBytes = kBytes;

bool have_buffer() noexcept {
  return own_buffer() != nullptr;
}

}  // namespace tt::blas

void* __wrap_blas_memory_alloc(int) {
  if (lent) give_up("OpenBLAS takes two buffers at once");
  void* buffer = own_buffer();
  if (buffer == nullptr) give_up("a product without have_buffer(), and no memory for it");
  lent = true;
  return buffer;
}

void __wrap_blas_memory_free(void*) {
  lent = false;
}

// OpenBLAS's destructor forgets the kernels, which threads may still be using when the process exits.
void __wrap_gotoblas_dynamic_quit() {}
