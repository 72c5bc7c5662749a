// Which kernels OpenBLAS has chosen.
#include <cblas.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#if defined(__x86_64__) && defined(OPENBLAS_VERSION)
TEST(BlasCore, UsesAvx512WhereTheProcessorHasIt) {
  const std::string core = openblas_get_corename();
  if (secure_getenv("OPENBLAS_CORETYPE") != nullptr) GTEST_SKIP() << "OPENBLAS_CORETYPE is set";
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")) {
    GTEST_SKIP() << "needs AVX-512";
  }
  EXPECT_TRUE(core == "SkylakeX" || core == "Cooperlake" || core == "SapphireRapids") << core;
}
#endif
