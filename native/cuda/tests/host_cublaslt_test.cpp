// How cuBLASLt is found, and what happens where it refuses: with native/simt/cublaslt in its place. That the products are
// right is what the op tests show with TWINTAIL_CUBLASLT set to it.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include <thread>

#include "context.h"

extern "C" const tt::Backend* tt_backend_open(int32_t version, const tt::Host* host);

namespace tt::cuda {
namespace {

using namespace cublaslt;

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
void let_fail(const char* function, Status status) {
  function_of_fake<void (*)(const char*, Status)>("fake_cublaslt_fail")(function, status);
}
void set_version(int major, int minor, int patch) {
  function_of_fake<void (*)(int, int, int)>("fake_cublaslt_version")(major, minor, patch);
}

class HostCublasLt : public testing::Test {
 protected:
  void SetUp() override { choose(FAKE_CUBLASLT); }
  void TearDown() override {
    let_fail("", kSuccess);
    EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
    set_version(12, 4, 5);
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

  /// A device, made the current one, for which no context has made a handle yet.
  static tt_context_options on_a_fresh_device() {
    static int device = 0;
    simt::options().device_count = ++device + 1;
    EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
    tt_context_options o = options();
    o.device_index = device;
    return o;
  }

  /// x [2, 3], weights [2, 3] and a bias on the device, and room for y.
  class Layer {
   public:
    explicit Layer(Context& context) : context_(context) {
      const std::vector<float> x = {1, 2, 3, -1, 0, 1}, weights = {1, 0, 2, -1, 1, 0},
                               bias = {0.5f, -3};
      memory_ = static_cast<float*>(context.pool.take(18 * sizeof(float), "test"));
      write(context, x.data(), 6, memory_, "test");
      write(context, weights.data(), 6, memory_ + 6, "test");
      write(context, bias.data(), 2, memory_ + 12, "test");
    }
    ~Layer() { EXPECT_EQ(context_.pool.give_back(memory_), cudaSuccess); }
    Layer(const Layer&) = delete;
    Layer& operator=(const Layer&) = delete;
    /// y = ReLU(x weights^T + bias)
    void run(int64_t rows = 2) const {
      linear(context_, rows, 3, 2, memory_, memory_ + 6, memory_ + 12, TT_RELU, memory_ + 14);
    }
    /// As the core calls it.
    tt_status run_by(const Backend& backend, tt_error* error) const {
      return backend.linear(&context_, error, 2, 3, 2, memory_, memory_ + 6, memory_ + 12, TT_RELU,
                            memory_ + 14);
    }
    std::vector<float> y() const {
      std::vector<float> values(4);
      read(context_, memory_ + 14, 4, values.data(), "test");
      return values;
    }

   private:
    Context& context_;
    float* memory_;
  };
  static std::vector<float> forward(Context& context) {
    const Layer layer(context);
    layer.run();
    return layer.y();
  }
  // (1 + 6 + 0.5, -1 + 2 - 3), (-1 + 2 + 0.5, 1 - 3), and the ReLU.
  const std::vector<float> kY = {7.5f, 0, 1.5f, 0};
};

TEST_F(HostCublasLt, IsFoundAndUsed) {
  EXPECT_NE(Library::get().description.find("cuBLASLt 12.4.5"), std::string::npos)
      << Library::get().description;
  EXPECT_NE(Library::get().description.find(FAKE_CUBLASLT), std::string::npos);
  const int before = calls("product"), asked = calls("cublasLtMatmulAlgoGetHeuristic");
  const auto left = [](const std::string& object) {
    return calls((object + "Create").c_str()) - calls((object + "Destroy").c_str());
  };
  const std::string objects[] = {"cublasLtMatmulDesc", "cublasLtMatrixLayout",
                                 "cublasLtMatmulPreference"};
  std::vector<int> left_before;
  for (const std::string& object : objects) left_before.push_back(left(object));
  {
    Context context(options(), count);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(forward(context), kY);
    EXPECT_EQ(calls("product"), before + 3);
    EXPECT_EQ(calls("cublasLtMatmulAlgoGetHeuristic"), asked + 1) << "chosen once for a shape";
  }
  const int handles = calls("cublasLtCreate");
  {
    Context context(options(), count);
    EXPECT_EQ(forward(context), kY);
  }
  EXPECT_EQ(calls("cublasLtCreate"), handles) << "one for all contexts of a device";
  EXPECT_EQ(calls("cublasLtDestroy"), 0);
  for (size_t i = 0; i < left_before.size(); ++i)
    EXPECT_EQ(left(objects[i]), left_before[i]) << objects[i];
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
       {"cublasLtMatmulDescCreate", "cublasLtMatmulDescSetAttribute", "cublasLtMatrixLayoutCreate",
        "cublasLtMatmulPreferenceCreate", "cublasLtMatmulPreferenceSetAttribute",
        "cublasLtMatmulAlgoGetHeuristic", "cublasLtMatmul"}) {
    for (const Status status : {kNotSupported, kAllocationFailed, kInternalError}) {
      SCOPED_TRACE(std::string(function) + " " + std::to_string(status));
      let_fail(function, status);
      const int before = calls(function);
      Context context(options(), count);
      EXPECT_EQ(forward(context), kY);
      const int after = calls(function);
      EXPECT_GT(after, before);
      EXPECT_EQ(forward(context), kY);
      // That the library cannot is remembered; that it could not now is not.
      EXPECT_EQ(calls(function) == after, status == kNotSupported);
      let_fail("", kSuccess);
      const int products = calls("product");
      EXPECT_EQ(forward(context), kY);
      EXPECT_EQ(calls("product"), products + (status == kNotSupported ? 0 : 1));
    }
  }
}

TEST_F(HostCublasLt, AHandleThatCannotBeMadeNowIsMadeLater) {
  const tt_context_options o = on_a_fresh_device();
  Context context(o, count);
  let_fail("cublasLtCreate", kAllocationFailed);
  const int products = calls("product"), handles = calls("cublasLtCreate");
  for (int i = 1; i <= 2; ++i) {
    EXPECT_EQ(forward(context), kY);
    EXPECT_EQ(calls("cublasLtCreate"), handles + i);
  }
  let_fail("", kSuccess);
  EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("product"), products + 1);
}

// Of a library that does not know the device it is asked once by a context: each attempt would cut a recorded step.
TEST_F(HostCublasLt, AHandleThatCanNeverBeMadeIsAskedForOnce) {
  const tt_context_options o = on_a_fresh_device();
  Context context(o, count);
  let_fail("cublasLtCreate", kArchitectureMismatch);
  const int handles = calls("cublasLtCreate");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("cublasLtCreate"), handles + 1);
  EXPECT_FALSE(context.cublaslt.available());
}

// Each attempt would cut a recorded step.
TEST_F(HostCublasLt, AShapeThatKeepsFailingIsLeftAlone) {
  Context context(options(), count);
  let_fail("cublasLtMatmulAlgoGetHeuristic", kInternalError);
  const int before = calls("cublasLtMatmulAlgoGetHeuristic");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("cublasLtMatmulAlgoGetHeuristic"), before + 8);
  // Nothing is lost for others.
  let_fail("", kSuccess);
  const int products = calls("product");
  EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("product"), products);
  Layer(context).run(1);
  EXPECT_EQ(calls("product"), products + 1);
}

TEST_F(HostCublasLt, AHandleThatKeepsFailingIsLeftAlone) {
  const tt_context_options o = on_a_fresh_device();
  Context context(o, count);
  let_fail("cublasLtCreate", kInternalError);
  const int before = calls("cublasLtCreate");
  for (int i = 0; i < 20; ++i) EXPECT_EQ(forward(context), kY);
  EXPECT_EQ(calls("cublasLtCreate"), before + 8);
  EXPECT_FALSE(context.cublaslt.available());
}

// cublasLtDestroy waits for the whole device, which no capture survives.
TEST_F(HostCublasLt, AContextsEndLeavesWhatAnotherRecordsAlone) {
  Context context(options(), count);
  const Layer layer(context);
  for (int section = 0; section < 2; ++section) {
    context.recording.begin();
    layer.run();
    if (section == 1) {
      EXPECT_TRUE(context.recording.active());
      Context other(options(), count);
      EXPECT_EQ(forward(other), kY);
    }
    context.recording.end();
  }
  EXPECT_EQ(layer.y(), kY);
  EXPECT_EQ(context.recording.counts().launched, 1);
}

// The library may allocate for a product that it does not know, or refuse it: then the graph would have other bits.
TEST_F(HostCublasLt, AnOwnersCaptureGetsOnlyProductsThatAreKnown) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  tt_context_options o = options();
  o.stream = stream;
  {
    Context context(o, count);
    const Layer layer(context);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    const int asked = calls("cublasLtMatmulAlgoGetHeuristic"), products = calls("product");
    tt_error error{};
    EXPECT_EQ(guard(error, [&] { layer.run(); }), TT_UNSUPPORTED);
    EXPECT_NE(std::string(error.message).find("once before"), std::string::npos) << error.message;
    EXPECT_EQ(calls("cublasLtMatmulAlgoGetHeuristic"), asked);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    layer.run();
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    layer.run();
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(calls("product"), products + 2);
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

// It needs a context, and does not make one by itself as the runtime does.
TEST_F(HostCublasLt, IsUsedByTheFirstCallOfAThread) {
  static constexpr Host kHost = {&count};
  const Backend& backend = *tt_backend_open(kBackendVersion, &kHost);
  Context context(options(), count);
  const Layer layer(context);
  layer.run();
  const int products = calls("product");
  std::thread([&] {
    tt_error error{};
    EXPECT_EQ(layer.run_by(backend, &error), TT_OK) << error.message;
  }).join();
  EXPECT_EQ(calls("product"), products + 1);
  EXPECT_EQ(layer.y(), kY);
}

// What was chosen for a bias that happened to be well aligned must do for the next.
TEST_F(HostCublasLt, AProductIsChosenForEveryAlignmentOfTheBiasThatMayCome) {
  Context context(options(), count);
  const std::vector<float> x = {1, 2, 3, -1, 0, 1}, weights = {1, 0, 2, -1, 1, 0}, bias = {1, 2};
  float* device = static_cast<float*>(context.pool.take(128 * sizeof(float), "test"));
  write(context, x.data(), 6, device, "test");
  write(context, weights.data(), 6, device + 8, "test");
  const int products = calls("product");
  for (float* own : {device + 64, device + 68}) {  // aligned to 256 and to 16 bytes
    write(context, bias.data(), 2, own, "test");
    linear(context, 2, 3, 2, device, device + 8, own, TT_LINEAR, device + 32);
    std::vector<float> y(4);
    read(context, device + 32, 4, y.data(), "test");
    EXPECT_EQ(y, (std::vector<float>{8, 3, 2, 3}));
  }
  EXPECT_EQ(calls("product"), products + 2);
  check(context.pool.give_back(device), "test");
}

// Version 11 has the number 11704 where 12 has 120405.
TEST_F(HostCublasLt, EveryVersionFrom11To13IsTaken) {
  const struct {
    int major, minor, patch;
  } versions[] = {{11, 7, 4}, {11, 10, 3}, {12, 0, 1}, {13, 1, 0}};
  for (const auto& v : versions) {
    set_version(v.major, v.minor, v.patch);
    const Library library = search({FAKE_CUBLASLT});
    EXPECT_TRUE(library.loaded) << library.description;
    EXPECT_EQ(library.description.find(
                  format("linear by cuBLASLt %d.%d.%d (", v.major, v.minor, v.patch)),
              0u)
        << library.description;
  }
  for (const int major : {10, 14}) {
    set_version(major, 2, 3);
    const Library library = search({FAKE_CUBLASLT});
    EXPECT_FALSE(library.loaded);
    EXPECT_NE(library.description.find(format("version %d, not 11, 12 or 13", major)),
              std::string::npos)
        << library.description;
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
        std::string(error.expected).find(path[0] == '/' ? "No such file" : "cublasLtGetProperty"),
        std::string::npos)
        << error.expected;
  }
}

TEST_F(HostCublasLt, TheSearchPrefersTheMajorVersionOfTheBuildAndTellsWhatItTried) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(candidates(12), (Names{"libcublasLt.so.12", "libcublasLt.so.13", "libcublasLt.so.11"}));
  EXPECT_EQ(candidates(13), (Names{"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so.11"}));
  const Library none = search({"/nonexistent/a.so", "/nonexistent/b.so"});
  EXPECT_FALSE(none.loaded);
  EXPECT_NE(none.description.find("/nonexistent/a.so: "), std::string::npos) << none.description;
  EXPECT_NE(none.description.find("; /nonexistent/b.so: "), std::string::npos) << none.description;
  EXPECT_TRUE(search({"/nonexistent/a.so", FAKE_CUBLASLT}).loaded);
  unsetenv("TWINTAIL_CUBLASLT");
  EXPECT_FALSE(Library::get().loaded) << "a real one must not see emulated memory";
}

}  // namespace
}  // namespace tt::cuda
