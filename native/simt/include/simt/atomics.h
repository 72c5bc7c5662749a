// CUDA's atomics, with exactly the types that CUDA offers (no `unsigned long`, no 64-bit floats below
// what sm_60 has), as real relaxed atomics so that race detectors see them as such.
#pragma once

#include "simt/engine.h"

namespace simt {

template <class T, class F>
T atomic_update(T* p, F next, Where w) {
  using Word = std::conditional_t<sizeof(T) == 8, std::uint64_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint16_t>>;
  static_assert(sizeof(T) == sizeof(Word), "atomics are 16, 32 or 64 bits wide");
  if (reinterpret_cast<std::uintptr_t>(p) % sizeof(T) != 0)
    fail("%s:%d misaligned atomic at %p", w.file, w.line, static_cast<void*>(p));
  atomic_step(w);
  Word* word = reinterpret_cast<Word*>(p);
  Word before = __atomic_load_n(word, __ATOMIC_RELAXED), after;
  T value;
  do {
    std::memcpy(static_cast<void*>(&value), &before, sizeof value);
    const T result = next(value);
    std::memcpy(&after, &result, sizeof after);
  } while (!__atomic_compare_exchange_n(word, &before, after, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
  return value;
}

}  // namespace simt

#define SIMT_ATOMIC(name, type, expression)                                    \
  inline type name(type* p, type value, simt::Where w = simt::Where::here()) { \
    return simt::atomic_update(                                                \
        p, [value](type old) { return static_cast<type>(expression); }, w);    \
  }
#define SIMT_ATOMIC_INTEGERS(name, expression) \
  SIMT_ATOMIC(name, int, expression)           \
  SIMT_ATOMIC(name, unsigned, expression)      \
  SIMT_ATOMIC(name, unsigned long long, expression)
// Signed sums wrap as on the device.
inline int atomicAdd(int* p, int value, simt::Where w = simt::Where::here()) {
  return simt::atomic_update(
      p,
      [value](int old) {
        return static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value));
      },
      w);
}
SIMT_ATOMIC(atomicAdd, unsigned, old + value)
SIMT_ATOMIC(atomicAdd, unsigned long long, old + value)
SIMT_ATOMIC(atomicAdd, float, old + value)
SIMT_ATOMIC(atomicAdd, double, old + value)
inline int atomicSub(int* p, int value, simt::Where w = simt::Where::here()) {
  return simt::atomic_update(
      p,
      [value](int old) {
        return static_cast<int>(static_cast<unsigned>(old) - static_cast<unsigned>(value));
      },
      w);
}
SIMT_ATOMIC(atomicSub, unsigned, old - value)
SIMT_ATOMIC_INTEGERS(atomicExch, ((void)old, value))
SIMT_ATOMIC(atomicExch, float, ((void)old, value))
SIMT_ATOMIC_INTEGERS(atomicMin, value < old ? value : old)
SIMT_ATOMIC(atomicMin, long long, value < old ? value : old)
SIMT_ATOMIC_INTEGERS(atomicMax, old < value ? value : old)
SIMT_ATOMIC(atomicMax, long long, old < value ? value : old)
SIMT_ATOMIC_INTEGERS(atomicAnd, old& value)
SIMT_ATOMIC_INTEGERS(atomicOr, old | value)
SIMT_ATOMIC_INTEGERS(atomicXor, old ^ value)
SIMT_ATOMIC(atomicInc, unsigned, old >= value ? 0u : old + 1u)
SIMT_ATOMIC(atomicDec, unsigned, old == 0u || old > value ? value : old - 1u)
#undef SIMT_ATOMIC_INTEGERS
#undef SIMT_ATOMIC

#define SIMT_ATOMIC_CAS(type)                                                                     \
  inline type atomicCAS(type* p, type compare, type value, simt::Where w = simt::Where::here()) { \
    return simt::atomic_update(                                                                   \
        p, [compare, value](type old) { return old == compare ? value : old; }, w);               \
  }
SIMT_ATOMIC_CAS(int)
SIMT_ATOMIC_CAS(unsigned)
SIMT_ATOMIC_CAS(unsigned long long)
SIMT_ATOMIC_CAS(unsigned short)
#undef SIMT_ATOMIC_CAS
