// Which kernels OpenBLAS has chosen.
#include <cblas.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#if defined(__x86_64__) && defined(OPENBLAS_VERSION)
TEST(BlasCore, UsesTheProcessorsVectors) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    GTEST_SKIP() << "needs AVX2";
  }
  if (secure_getenv("OPENBLAS_CORETYPE") != nullptr) {
    // The choice is made when a program starts: look at one that starts without the variable.
    char self[4096] = {};
    ASSERT_GT(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    const std::string command = std::string("env -u OPENBLAS_CORETYPE '") + self +
                                "' --gtest_filter=BlasCore.UsesTheProcessorsVectors";
    EXPECT_EQ(std::system(command.c_str()), 0);
    return;
  }
  const std::string core = openblas_get_corename();
  EXPECT_EQ(core, __builtin_cpu_supports("avx512bw") ? "SkylakeX" : "Haswell");
}
#endif
