// A library with CUDA code in it must load anywhere: a machine without a driver gets a reason, not a crash.
#include <string>

#include "probe.h"

namespace {

using CudaRuntime = ProbeTest;

TEST_F(CudaRuntime, CountsDevicesOrSaysWhyThereIsNone) {
  char reason[256] = {};
  const int devices = find<int(char*, size_t)>("probe_devices")(reason, sizeof reason);
  EXPECT_GE(devices, 0);
  EXPECT_NE(std::string(reason), "");
  EXPECT_EQ(std::string(reason) == "no error", devices > 0);
}

TEST_F(CudaRuntime, RunsAKernelWhereThereIsADeviceAndOnlyThere) {
  char reason[256] = {};
  const bool device = find<int(char*, size_t)>("probe_devices")(reason, sizeof reason) > 0;
  EXPECT_EQ(find<bool()>("probe_kernel")(), device) << reason;
}

}  // namespace
