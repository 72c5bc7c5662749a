// What `g++ -fsanitize=thread` makes of every load, store and atomic in a kernel: a call of one of these.
// GCC's own runtime library is not linked (SIMT_CHECK); the accesses go to the checker.
#if defined(SIMT_CHECK)

#include <cstdint>

#include "check.h"

using simt::check::access;
using simt::check::Access;
using simt::check::aligned_access;
using simt::check::handshake;

namespace {

// The call's own address, not the one it returns to, which may belong to the next line.
inline const void* call_of(const void* return_address) {
  return static_cast<const char*>(return_address) - 1;
}

}  // namespace

#define SIMT_CODE call_of(__builtin_return_address(0))

#define SIMT_PLAIN(bytes)                                \
  void __tsan_read##bytes(void* p) {                     \
    aligned_access(p, bytes, Access::kRead, SIMT_CODE);  \
  }                                                      \
  void __tsan_write##bytes(void* p) {                    \
    aligned_access(p, bytes, Access::kWrite, SIMT_CODE); \
  }                                                      \
  void __tsan_volatile_read##bytes(void* p) {            \
    aligned_access(p, bytes, Access::kRead, SIMT_CODE);  \
  }                                                      \
  void __tsan_volatile_write##bytes(void* p) {           \
    aligned_access(p, bytes, Access::kWrite, SIMT_CODE); \
  }
#define SIMT_UNALIGNED(bytes)                    \
  void __tsan_unaligned_read##bytes(void* p) {   \
    access(p, bytes, Access::kRead, SIMT_CODE);  \
  }                                              \
  void __tsan_unaligned_write##bytes(void* p) {  \
    access(p, bytes, Access::kWrite, SIMT_CODE); \
  }

#define SIMT_FETCH(bits, type, name)                                           \
  type __tsan_atomic##bits##_fetch_##name(volatile type* p, type value, int) { \
    access(const_cast<type*>(p), sizeof(type), Access::kAtomic, SIMT_CODE);    \
    handshake(const_cast<type*>(p));                                           \
    return __atomic_fetch_##name(p, value, __ATOMIC_SEQ_CST);                  \
  }
#define SIMT_EXCHANGE(bits, type, strength, weak)                                         \
  int __tsan_atomic##bits##_compare_exchange_##strength(volatile type* p, type* expected, \
                                                        type value, int, int) {           \
    access(const_cast<type*>(p), sizeof(type), Access::kAtomic, SIMT_CODE);               \
    handshake(const_cast<type*>(p));                                                      \
    return __atomic_compare_exchange_n(p, expected, value, weak, __ATOMIC_SEQ_CST,        \
                                       __ATOMIC_SEQ_CST);                                 \
  }
#define SIMT_ATOMICS(bits, type)                                                               \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                               \
    access(const_cast<const type*>(p), sizeof(type), Access::kAtomic, SIMT_CODE);              \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                               \
  }                                                                                            \
  void __tsan_atomic##bits##_store(volatile type* p, type value, int) {                        \
    access(const_cast<type*>(p), sizeof(type), Access::kAtomic, SIMT_CODE);                    \
    __atomic_store_n(p, value, __ATOMIC_SEQ_CST);                                              \
  }                                                                                            \
  type __tsan_atomic##bits##_exchange(volatile type* p, type value, int) {                     \
    access(const_cast<type*>(p), sizeof(type), Access::kAtomic, SIMT_CODE);                    \
    handshake(const_cast<type*>(p));                                                           \
    return __atomic_exchange_n(p, value, __ATOMIC_SEQ_CST);                                    \
  }                                                                                            \
  SIMT_FETCH(bits, type, add)                                                                  \
  SIMT_FETCH(bits, type, sub)                                                                  \
  SIMT_FETCH(bits, type, and)                                                                  \
  SIMT_FETCH(bits, type, or)                                                                   \
  SIMT_FETCH(bits, type, xor)                                                                  \
  SIMT_FETCH(bits, type, nand)                                                                 \
  SIMT_EXCHANGE(bits, type, strong, false)                                                     \
  SIMT_EXCHANGE(bits, type, weak, true)                                                        \
  type __tsan_atomic##bits##_compare_exchange_val(volatile type* p, type expected, type value, \
                                                  int, int) {                                  \
    __tsan_atomic##bits##_compare_exchange_strong(p, &expected, value, 0, 0);                  \
    return expected;                                                                           \
  }

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(void* p, unsigned long n) {
  access(p, n, Access::kRead, SIMT_CODE);
}
void __tsan_write_range(void* p, unsigned long n) {
  access(p, n, Access::kWrite, SIMT_CODE);
}
SIMT_PLAIN(1)
SIMT_PLAIN(2)
SIMT_PLAIN(4)
SIMT_PLAIN(8)
SIMT_PLAIN(16)
SIMT_UNALIGNED(2)
SIMT_UNALIGNED(4)
SIMT_UNALIGNED(8)
SIMT_UNALIGNED(16)
SIMT_ATOMICS(8, std::uint8_t)
SIMT_ATOMICS(16, std::uint16_t)
SIMT_ATOMICS(32, std::uint32_t)
SIMT_ATOMICS(64, std::uint64_t)
void __tsan_atomic_thread_fence(int) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
void __tsan_atomic_signal_fence(int) {}

}  // extern "C"

#endif
