// The processor's mode of floating-point arithmetic.
#ifndef TWINTAIL_CPU_FLOAT_MODE_H
#define TWINTAIL_CPU_FLOAT_MODE_H

#include <cstdint>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tt::cpu {

/// For as long as it lives, this thread has the default mode: round to nearest, keep denormals, raise nothing.
/// The caller's mode is its own (torch.set_flush_denormal, say), a worker has that of the thread which made the
/// pool: results would depend on which of them ran a block.
class DefaultFloatMode {
 public:
  DefaultFloatMode() : callers_(get()) { set(kDefault); }
  ~DefaultFloatMode() { set(callers_); }  // its flags too: what an op raises is nobody's business
  DefaultFloatMode(const DefaultFloatMode&) = delete;
  DefaultFloatMode& operator=(const DefaultFloatMode&) = delete;

 private:
#if defined(__SSE__)
  using Word = uint32_t;
  static constexpr Word kDefault = 0x1F80;  // every exception is masked
  static Word get() {
    return _mm_getcsr();
  }
  static void set(Word word) {
    _mm_setcsr(word);
  }
#elif defined(__aarch64__)
  using Word = uint64_t;
  static constexpr Word kDefault = 0;
  static Word get() {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word));
    return word;
  }
  static void set(Word word) {
    asm volatile("msr fpcr, %0" : : "r"(word) : "memory");
  }
#else
  using Word = int;
  static constexpr Word kDefault = 0;
  static Word get() {
    return 0;
  }
  static void set(Word) {}
#endif

  Word callers_;
};

}  // namespace tt::cpu
#endif
