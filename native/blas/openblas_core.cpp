// Tells OpenBLAS which kernels to take.
//
// OpenBLAS goes by the processor's model number (dynamic.c). One that is newer than the library gets kernels far below
// what it can do: before 0.3.22 those of Haswell on AMD's processors with AVX-512, and on Intel's later models
// those of Prescott, SSE3, a quarter of the speed. What a processor can do is asked here instead. OpenBLAS reads its choice
// from the environment, once, when it is loaded. To set a variable there would race with the host's threads, so
// the linker sends getenv here (--wrap). A value that somebody has set is respected.
#include <cstring>

extern "C" {

char* __real_getenv(const char* name);
char* __wrap_getenv(const char* name);

}  // extern "C"

namespace {

// The best set of kernels that the processor can run; nullptr: OpenBLAS's own choice.
char* core_type() {
#if defined(__x86_64__)
  static char avx512[] = "SkylakeX", avx2[] = "Haswell";
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512cd")) {
    return avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return avx2;
  }
#endif
  return nullptr;
}

}  // namespace

char* __wrap_getenv(const char* name) {
  char* value = __real_getenv(name);
  return value == nullptr && std::strcmp(name, "OPENBLAS_CORETYPE") == 0 ? core_type() : value;
}
