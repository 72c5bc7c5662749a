// Lets OpenBLAS use AVX-512 on AMD's processors.
//
// Before 0.3.22 OpenBLAS knows no processor of AMD with AVX-512 and takes its Haswell kernels there, half
// the speed on those that have 512-bit units; since then it takes SkylakeX, as for Intel's (see
// dynamic.c in OpenBLAS). It reads its choice from the environment, once, when it is loaded. To set a
// variable there would race with the host's threads, so the linker sends getenv here (--wrap). A value that
// somebody has set is respected.
#include <cstring>

extern "C" {

char* __real_getenv(const char* name);
char* __wrap_getenv(const char* name);

}  // extern "C"

namespace {

bool is_amd_with_avx512() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
#else
  return false;
#endif
}

}  // namespace

char* __wrap_getenv(const char* name) {
  static char core[] = "SkylakeX";
  char* value = __real_getenv(name);
  if (value == nullptr && std::strcmp(name, "OPENBLAS_CORETYPE") == 0 && is_amd_with_avx512()) {
    return core;
  }
  return value;
}
