#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

// Saves what the System V ABI lets a callee rely on, on the old stack, and takes the same from the new.
// (The floating-point control words are shared: kernels do not change them.)
extern "C" void simt_switch_stacks(void** old_pointer, void* new_pointer);
#if defined(__x86_64__)
asm(R"(
.text
.globl simt_switch_stacks
.hidden simt_switch_stacks
.type simt_switch_stacks, @function
simt_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_switch_stacks, . - simt_switch_stacks
)");
#else
#error "simt: no stack switch for this processor yet: save the callee-saved registers as above"
#endif

namespace simt {

namespace {

constexpr std::size_t kStackBytes = 256 * 1024;  // address space; only touched pages cost memory
constexpr std::size_t kGuardBytes = 4096;

}  // namespace

void Fiber::create() {
  void* map = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (map == MAP_FAILED || mprotect(map, kGuardBytes, PROT_NONE) != 0) {
    std::perror("simt: no memory for the stack of a CUDA thread");
    std::abort();
  }
  stack_ = static_cast<char*>(map) + kGuardBytes;
  size_ = kStackBytes;
  mapped_ = true;
#if defined(SIMT_TSAN)
  tsan_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (!mapped_) return;
  munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes);
#if defined(SIMT_TSAN)
  __tsan_destroy_fiber(tsan_);
#endif
}

void Fiber::prepare(void (*entry)(), bool abandoned) {
  fake_stack_ = nullptr;
  if (abandoned) {
#if defined(SIMT_ASAN)
    __asan_unpoison_memory_region(stack_, size_);
#elif defined(SIMT_TSAN)
    __tsan_destroy_fiber(tsan_);  // its record of calls does not match a fresh start
    tsan_ = __tsan_create_fiber(0);
#endif
  }
  // Six registers, then the address that `ret` takes, then a zero where a return address would be. The
  // stack pointer is 8 below a multiple of 16 on entry, as after a call.
  void** top = reinterpret_cast<void**>(stack_ + size_ - 64);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  stack_pointer_ = top;
}

void Fiber::adopt_host_thread() {
  stack_ = nullptr;
  size_ = 0;
#if defined(SIMT_TSAN)
  tsan_ = __tsan_get_current_fiber();
#endif
}

void Fiber::switch_to(Fiber& from, Fiber& to, bool leaving) {
#if defined(SIMT_ASAN)
  __sanitizer_start_switch_fiber(leaving ? nullptr : &from.fake_stack_, to.stack_, to.size_);
#elif defined(SIMT_TSAN)
  __tsan_switch_to_fiber(to.tsan_, __tsan_switch_to_fiber_no_sync);
#endif
  static_cast<void>(leaving);
  simt_switch_stacks(&from.stack_pointer_, to.stack_pointer_);
#if defined(SIMT_ASAN)
  __sanitizer_finish_switch_fiber(from.fake_stack_, nullptr, nullptr);
#endif
}

void Fiber::entered(Fiber& host) {
#if defined(SIMT_ASAN)
  const void* bottom = nullptr;
  std::size_t size = 0;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  if (host.stack_ ==
      nullptr) {  // the first entry of a launch comes from the host: now its bounds are known
    host.stack_ = const_cast<char*>(static_cast<const char*>(bottom));
    host.size_ = size;
  }
#endif
  static_cast<void>(host);
}

bool Fiber::overflowed_into(const void* address) const {
  const char* p = static_cast<const char*>(address);
  return p >= stack_ - kGuardBytes && p < stack_;
}

void Fiber::release(void* x) {
#if defined(SIMT_TSAN)
  __tsan_release(x);
#endif
  static_cast<void>(x);
}

void Fiber::acquire(void* x) {
#if defined(SIMT_TSAN)
  __tsan_acquire(x);
#endif
  static_cast<void>(x);
}

}  // namespace simt
