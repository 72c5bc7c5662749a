// What CUDA 13.0 took away must not be had here either: a launcher that used it would build with 12 alone.
#include <type_traits>

#include "simt_test.h"

namespace {

// Fields of cudaDeviceProp: "CUDA Toolkit 13.0 Release Notes", removed; attributes stand in for all but one.
#define REMOVED_FIELDS(X)     \
  X(clockRate)                \
  X(deviceOverlap)            \
  X(kernelExecTimeoutEnabled) \
  X(computeMode)              \
  X(maxTexture1DLinear)       \
  X(memoryClockRate) X(singleToDoublePrecisionPerfRatio) X(cooperativeMultiDeviceLaunch)

#define HAS(field)                         \
  template <class T, class = void>         \
  struct has_##field : std::false_type {}; \
  template <class T>                       \
  struct has_##field<T, std::void_t<decltype(T::field)>> : std::true_type {};
REMOVED_FIELDS(HAS)
HAS(multiProcessorCount)

TEST(Cuda13, DevicePropertiesHaveNoFieldThatItRemoved) {
  EXPECT_TRUE(has_multiProcessorCount<cudaDeviceProp>::value);
#define CHECK(field) EXPECT_FALSE(has_##field<cudaDeviceProp>::value) << #field;
  REMOVED_FIELDS(CHECK)
}

}  // namespace
