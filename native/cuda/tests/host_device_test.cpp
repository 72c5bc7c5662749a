// Which device, context and stream an op works on, what it leaves to the thread that called it, and what errors mean.
#include <gtest/gtest.h>

#include <thread>

#include "context.h"

extern "C" const tt::Backend* tt_backend_open(int32_t version, const tt::Host* host);

namespace tt::cuda {
namespace {

void count(int64_t) {}

const Backend& backend() {
  static constexpr Host kHost = {&count};
  static const Backend* const backend = tt_backend_open(kBackendVersion, &kHost);
  return *backend;
}

template <class F>
tt_error error_of(F&& f) {
  tt_error error{};
  guard(error, f);
  return error;
}

using SetContext = CUresult (*)(CUcontext);
SetContext set_context() {
  void* found = nullptr;
  EXPECT_EQ(cudaGetDriverEntryPoint("cuCtxSetCurrent", &found, cudaEnableDefault), cudaSuccess);
  return reinterpret_cast<SetContext>(found);
}

class HostDevice : public testing::Test {
 protected:
  void SetUp() override { simt::options().print_failures = false; }
  void TearDown() override {
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
    cudaGetLastError();
  }
  static tt_context_options options(int device = 0, void* stream = nullptr) {
    tt_context_options o{};
    o.struct_size = sizeof o;
    o.device = TT_DEVICE_CUDA;
    o.device_index = device;
    o.stream = stream;
    return o;
  }
  /// A kernel, and memory for it.
  static void work(void* context) {
    tt_error error{};
    void* memory = nullptr;
    EXPECT_EQ(backend().alloc(context, &error, 64, &memory), TT_OK) << error.message;
    EXPECT_EQ(
        backend().fill_uniform(context, &error, 1, 2, 3, 0, 1, 16, static_cast<float*>(memory)),
        TT_OK)
        << error.message;
    EXPECT_EQ(backend().free(context, &error, memory, 64), TT_OK) << error.message;
  }
};

TEST_F(HostDevice, AThreadWithoutAContextHasNoneAfterwards) {
  simt::options().device_count = 2;
  std::thread([] {
    for (const int device : {1, 0}) {
      EXPECT_EQ(simt::current_context(), nullptr);
      tt_error error{};
      void* context = nullptr;
      const tt_context_options o = options(device);
      ASSERT_EQ(backend().create(&o, &context, &error), TT_OK) << error.message;
      EXPECT_EQ(simt::current_context(), nullptr);
      work(context);
      EXPECT_EQ(simt::current_context(), nullptr);
      backend().destroy(context);
      EXPECT_EQ(simt::current_context(), nullptr);
    }
  }).join();
}

TEST_F(HostDevice, WhatWasCurrentComesBackAndIsNotUsed) {
  simt::options().device_count = 2;
  for (const int device : {0, 1}) {
    tt_error error{};
    void* context = nullptr;
    const tt_context_options o = options(device);
    ASSERT_EQ(backend().create(&o, &context, &error), TT_OK) << error.message;
    std::thread([context] {
      const CUcontext foreign = simt::foreign_context(0);
      ASSERT_EQ(set_context()(foreign), CUDA_SUCCESS);
      work(context);
      EXPECT_EQ(simt::current_context(), foreign);
      ASSERT_EQ(cudaSetDevice(0), cudaSuccess);
      const CUcontext primary = simt::current_context();
      work(context);
      EXPECT_EQ(simt::current_context(), primary);
    }).join();
    backend().destroy(context);
  }
}

TEST_F(HostDevice, ADeviceThatThereIsNotLeavesTheThreadAsItWas) {
  std::thread([] {
    tt_error error{};
    void* context = nullptr;
    const tt_context_options o = options(7);
    EXPECT_NE(backend().create(&o, &context, &error), TT_OK);
    EXPECT_EQ(simt::current_context(), nullptr);
  }).join();
}

// An application captures a stream of its own, which forbids to every thread what cannot be captured.
TEST_F(HostDevice, WorksBesideACaptureAndDoesNotSpoilIt) {
  for (const bool pools : {true, false}) {
    simt::options().memory_pools = pools;
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    tt_error error{};
    void* context = nullptr;
    const tt_context_options o = options();
    ASSERT_EQ(backend().create(&o, &context, &error), TT_OK) << error.message;
    work(context);
    tt_context_info info{};
    EXPECT_EQ(backend().get_info(context, &error, &info), TT_OK) << error.message;
    backend().destroy(context);
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);

    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, 8), cudaErrorStreamCaptureUnsupported)
        << "the thread's own mode is back";
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
}

TEST_F(HostDevice, TheContextsOwnStreamTakesNothingWhileItsOwnerCapturesIt) {
  for (const bool pools : {true, false}) {
    simt::options().memory_pools = pools;
    cudaStream_t stream = nullptr;
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    tt_error error{};
    void *context = nullptr, *memory = nullptr;
    const tt_context_options o = options(0, stream);
    ASSERT_EQ(backend().create(&o, &context, &error), TT_OK) << error.message;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    EXPECT_EQ(backend().alloc(context, &error, 64, &memory), TT_UNSUPPORTED);
    EXPECT_NE(std::string(error.message).find("once before"), std::string::npos) << error.message;
    tt_context_info info{};
    EXPECT_EQ(backend().get_info(context, &error, &info), TT_OK) << error.message;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    backend().destroy(context);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
}

// It would be another stream in every thread, and the memory's order that of none.
TEST_F(HostDevice, TheStreamOfEachThreadIsRefused) {
  const tt_error error = error_of([] { Context context(options(0, cudaStreamPerThread), count); });
  EXPECT_EQ(error.status, TT_BAD_ARGUMENT);
  EXPECT_STREQ(error.argument, "stream");
  EXPECT_STREQ(error.got, "cudaStreamPerThread");
}

TEST_F(HostDevice, TellsAMachineWithoutADriverFromOneWithoutADevice) {
  char reason[1024] = "";
  simt::options().device_count = 0;
  EXPECT_EQ(backend().probe(reason, sizeof reason), 0);
  EXPECT_STREQ(reason, "no CUDA device: no CUDA-capable device is detected (cudaErrorNoDevice)");
  simt::options().driver_version = 0;
  EXPECT_EQ(backend().probe(reason, sizeof reason), 0);
  EXPECT_STREQ(reason, "no CUDA device: no NVIDIA driver (cudaErrorInsufficientDriver)");
  simt::options() = simt::Options();
  EXPECT_EQ(backend().probe(reason, sizeof reason), 1);
  EXPECT_NE(std::string(reason).find("driver for CUDA 12.4, built for 12.4"), std::string::npos)
      << reason;
}

TEST_F(HostDevice, ErrorsSayWhatIsStillPossible) {
  const auto status_of = [](int code) {
    return error_of([code] { check(static_cast<cudaError_t>(code), "test"); }).status;
  };
  for (const int code :
       {214, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911, 999})
    EXPECT_EQ(status_of(code), TT_DEVICE_ERROR) << code;
  for (const int code : {1, 400, 701, 704, 801, 900})
    EXPECT_EQ(status_of(code), TT_INTERNAL) << code;
  for (const int code : {98, 209, 221, 222, 223})
    EXPECT_EQ(status_of(code), TT_UNSUPPORTED) << code;
  const tt_error old = error_of([] { check(cudaErrorUnsupportedPtxVersion, "test"); });
  EXPECT_NE(std::string(old.message).find("the driver is older than this build wants"),
            std::string::npos)
      << old.message;
}

}  // namespace
}  // namespace tt::cuda
