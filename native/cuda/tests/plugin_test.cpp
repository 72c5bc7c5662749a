// The plugin that is shipped, with NVIDIA's runtime in it, opened as the core opens it: it must load anywhere, and find
// devices or say why there are none. The op tests load the one that runs kernels on the CPU.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "backend.h"

namespace {

class CudaPlugin : public testing::Test {
 protected:
  void SetUp() override {
    void* library = dlopen(PLUGIN_LIBRARY, RTLD_NOW | RTLD_LOCAL);  // for good, as in the core
    ASSERT_NE(library, nullptr) << dlerror();
    open_ = reinterpret_cast<tt_backend_open_function>(dlsym(library, TT_BACKEND_OPEN_SYMBOL));
    ASSERT_NE(open_, nullptr) << "no symbol " TT_BACKEND_OPEN_SYMBOL;
  }
  const tt::Backend* open(int32_t version) const {
    static constexpr tt::Host kHost = {[](int64_t) {}};
    return open_(version, &kHost);
  }

 private:
  tt_backend_open_function open_ = nullptr;
};

TEST_F(CudaPlugin, OpensForThisVersionAlone) {
  EXPECT_EQ(open(tt::kBackendVersion + 1), nullptr);
  const tt::Backend* backend = open(tt::kBackendVersion);
  ASSERT_NE(backend, nullptr);
  EXPECT_EQ(backend->version, tt::kBackendVersion);
  EXPECT_EQ(backend->device, TT_DEVICE_CUDA);
  EXPECT_STREQ(backend->name, "cuda");
}

// What the runtime adds is its error's text and name, such as (cudaErrorInsufficientDriver) where no driver is installed.
TEST_F(CudaPlugin, FindsDevicesOrSaysWhyThereAreNone) {
  const tt::Backend* backend = open(tt::kBackendVersion);
  ASSERT_NE(backend, nullptr);
  char text[1024] = "";
  const int devices = backend->probe(text, sizeof text);
  const std::string reason = text;
  if (devices > 0) {
    EXPECT_EQ(reason.find(std::to_string(devices) + " device"), 0u) << reason;
    return;
  }
  EXPECT_EQ(devices, 0) << reason;
  EXPECT_TRUE(reason == "no CUDA device" ||
              (reason.find("no CUDA device: ") == 0 &&
               reason.find("(cudaError") != std::string::npos && reason.back() == ')'))
      << reason;
}

}  // namespace
