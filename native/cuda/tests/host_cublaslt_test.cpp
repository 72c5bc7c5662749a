// How cuBLASLt is found, and what happens where it refuses: with native/simt/cublaslt in its place. That the products are
// right is what the op tests show with TWINTAIL_CUBLASLT set to it.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "context.h"

namespace tt::cuda {
namespace {

using cublaslt::Library;

void count(int64_t) {}

template <class F>
F function_of_fake(const char* name) {
  void* fake = dlopen(FAKE_CUBLASLT, RTLD_NOW | RTLD_LOCAL);
  void* found = fake != nullptr ? dlsym(fake, name) : nullptr;
  if (found == nullptr) std::abort();
  F function;
  std::memcpy(&function, &found, sizeof found);
  return function;
}
int calls(const char* function) {
  return function_of_fake<int (*)(const char*)>("fake_cublaslt_calls")(function);
}
void let_fail(const char* function) {
  function_of_fake<void (*)(const char*)>("fake_cublaslt_fail")(function);
}

class HostCublasLt : public testing::Test {
 protected:
  void SetUp() override { choose(FAKE_CUBLASLT); }
  void TearDown() override {
    let_fail("");
    unsetenv("TWINTAIL_CUBLASLT");
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
  }
  static void choose(const char* library) { setenv("TWINTAIL_CUBLASLT", library, 1); }

  static tt_context_options options() {
    tt_context_options o{};
    o.struct_size = sizeof o;
    o.device = TT_DEVICE_CUDA;
    return o;
  }

  /// y = ReLU(x weights^T + bias) for x [2, 3], weights [2, 3].
  static std::vector<float> forward(Context& context) {
    const std::vector<float> x = {1, 2, 3, -1, 0, 1}, weights = {1, 0, 2, -1, 1, 0},
                             bias = {0.5f, -3};
    float* device = static_cast<float*>(context.pool.take(18 * sizeof(float), "test"));
    write(context, x.data(), 6, device, "test");
    write(context, weights.data(), 6, device + 6, "test");
    write(context, bias.data(), 2, device + 12, "test");
    linear(context, 2, 3, 2, device, device + 6, device + 12, TT_RELU, device + 14);
    std::vector<float> y(4);
    read(context, device + 14, 4, y.data(), "test");
    check(context.pool.give_back(device), "test");
    return y;
  }
  // (1 + 6 + 0.5, -1 + 2 - 3), (-1 + 2 + 0.5, 1 - 3), and the ReLU.
  const std::vector<float> kY = {7.5f, 0, 1.5f, 0};
};

TEST_F(HostCublasLt, IsFoundAndUsed) {
  EXPECT_NE(Library::get().description.find("cuBLASLt 12.4.5"), std::string::npos)
      << Library::get().description;
  EXPECT_NE(Library::get().description.find(FAKE_CUBLASLT), std::string::npos);
  const int before = calls("cublasLtMatmul"), asked = calls("cublasLtMatmulAlgoGetHeuristic");
  const int handles = calls("cublasLtCreate") - calls("cublasLtDestroy");
  {
    Context context(options(), count);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(forward(context), kY);
    EXPECT_EQ(calls("cublasLtMatmul"), before + 3);
    EXPECT_EQ(calls("cublasLtMatmulAlgoGetHeuristic"), asked + 1) << "chosen once for a shape";
  }
  EXPECT_EQ(calls("cublasLtCreate") - calls("cublasLtDestroy"), handles);
  EXPECT_EQ(calls("cublasLtMatmulDescCreate"), calls("cublasLtMatmulDescDestroy"));
  EXPECT_EQ(calls("cublasLtMatrixLayoutCreate"), calls("cublasLtMatrixLayoutDestroy"));
  EXPECT_EQ(calls("cublasLtMatmulPreferenceCreate"), calls("cublasLtMatmulPreferenceDestroy"));
}

TEST_F(HostCublasLt, WorksInTheStreamsOrder) {
  simt::options().defer_streams = true;
  Context context(options(), count);
  EXPECT_EQ(forward(context), kY);
}

// The first product of a shape loads and allocates, which no capture allows; the next are part of the graph, with the bias
// of their own call.
TEST_F(HostCublasLt, IsRecordedFromTheSecondProductOfAShapeOn) {
  Context context(options(), count);
  const std::vector<float> x = {1, 2, 3, -1, 0, 1}, weights = {1, 0, 2, -1, 1, 0};
  float* device = static_cast<float*>(context.pool.take(28 * sizeof(float), "test"));
  write(context, x.data(), 6, device, "test");
  write(context, weights.data(), 6, device + 6, "test");
  context.recording.begin();  // the first section records nothing
  context.recording.end();
  const int before = calls("cublasLtMatmul");
  for (int step = 0; step < 3; ++step) {
    const std::vector<float> bias = {static_cast<float>(step), -1};
    float* own = device + 12 + 4 * step;  // of one alignment
    write(context, bias.data(), 2, own, "test");
    context.recording.begin();
    linear(context, 2, 3, 2, device, device + 6, own, TT_LINEAR, device + 24);
    EXPECT_EQ(context.recording.active(), step > 0);
    context.recording.end();
    std::vector<float> y(4);
    read(context, device + 24, 4, y.data(), "test");
    const auto s = static_cast<float>(step);
    EXPECT_EQ(y, (std::vector<float>{7 + s, 0, 1 + s, 0}));
  }
  EXPECT_EQ(calls("cublasLtMatmul"), before + 3);
  EXPECT_EQ(context.recording.counts().launched, 2);
  EXPECT_EQ(context.recording.counts().built, 1);
  check(context.pool.give_back(device), "test");
}

TEST_F(HostCublasLt, WhateverFailsTheKernelDoesIt) {
  for (const char* function :
       {"cublasLtCreate", "cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute",
        "cublasLtMatrixLayoutCreate", "cublasLtMatmulPreferenceCreate",
        "cublasLtMatmulPreferenceSetAttribute", "cublasLtMatmulAlgoGetHeuristic",
        "cublasLtMatmul"}) {
    SCOPED_TRACE(function);
    let_fail(function);
    const int before = calls(function);
    Context context(options(), count);
    EXPECT_EQ(forward(context), kY);
    const int after = calls(function);
    EXPECT_GT(after, before);
    EXPECT_EQ(forward(context), kY);
    EXPECT_EQ(calls(function), after) << "and it is not asked again";
  }
}

TEST_F(HostCublasLt, OffMeansTheKernel) {
  choose("off");
  EXPECT_NE(Library::get().description.find("TWINTAIL_CUBLASLT=off"), std::string::npos);
  const int before = calls("cublasLtMatmul");
  Context context(options(), count);
  EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("cublasLtMatmul"), before);
}

TEST_F(HostCublasLt, APathThatCannotBeLoadedIsNamed) {
  for (const char* path : {"/nonexistent/libcublasLt.so.12", "libm.so.6"}) {
    choose(path);
    tt_error error{};
    guard(error, [] { Context context(options(), count); });
    EXPECT_EQ(error.status, TT_BAD_ARGUMENT);
    EXPECT_STREQ(error.argument, "TWINTAIL_CUBLASLT");
    EXPECT_STREQ(error.got, path);
    EXPECT_NE(
        std::string(error.expected).find(path[0] == '/' ? "No such file" : "cublasLtGetVersion"),
        std::string::npos)
        << error.expected;
  }
}

TEST_F(HostCublasLt, TheSearchPrefersTheMajorVersionOfTheBuildAndTellsWhatItTried) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(cublaslt::candidates(12),
            (Names{"libcublasLt.so.12", "libcublasLt.so.13", "libcublasLt.so.11"}));
  EXPECT_EQ(cublaslt::candidates(13),
            (Names{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}));
  const Library none = cublaslt::search({"/nonexistent/a.so", "/nonexistent/b.so"});
  EXPECT_FALSE(none.loaded);
  EXPECT_NE(none.description.find("/nonexistent/a.so: "), std::string::npos) << none.description;
  EXPECT_NE(none.description.find("; /nonexistent/b.so: "), std::string::npos) << none.description;
  EXPECT_TRUE(cublaslt::search({"/nonexistent/a.so", FAKE_CUBLASLT}).loaded);
  unsetenv("TWINTAIL_CUBLASLT");
  EXPECT_FALSE(Library::get().loaded) << "a real one must not see emulated memory";
}

}  // namespace
}  // namespace tt::cuda
