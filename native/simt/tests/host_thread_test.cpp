// What each host thread has of its own: a context or none, and how it stands towards captures.
#include <thread>

#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

template <class F>
F driver_function(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
  EXPECT_EQ(cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result), cudaSuccess);
  EXPECT_EQ(result, cudaDriverEntryPointSuccess);
  return reinterpret_cast<F>(found);
}

class HostThread : public testing::Test {
 protected:
  void SetUp() override { simt::options().print_failures = false; }
  void TearDown() override {
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
    cudaGetLastError();
  }
  template <class F>
  static void elsewhere(F&& f) {
    std::thread(f).join();
  }
};

__global__ void set(int* x) {
  *x = 1;
}

TEST_F(HostThread, BeginsWithoutAContextAndGetsOneWhenItNeedsOne) {
  elsewhere([] {
    int device = -1, count = 0, value = 0;
    cudaDeviceProp properties;
    EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
    EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 0), cudaSuccess);
    EXPECT_EQ(cudaGetLastError(), cudaSuccess);
    EXPECT_EQ(simt::current_context(), nullptr);
    int* p = nullptr;
    EXPECT_EQ(cudaMalloc(&p, 4), cudaSuccess);
    EXPECT_NE(simt::current_context(), nullptr);
    EXPECT_EQ(cudaFree(p), cudaSuccess);
  });
}

TEST_F(HostThread, TheDriverSetsWhatTheRuntimeSees) {
  simt::options().device_count = 2;
  elsewhere([] {
    const auto get = driver_function<CUresult (*)(CUcontext*)>("cuCtxGetCurrent");
    const auto set = driver_function<CUresult (*)(CUcontext)>("cuCtxSetCurrent");
    CUcontext context = simt::foreign_context(0);
    EXPECT_EQ(get(&context), CUDA_SUCCESS);
    EXPECT_EQ(context, nullptr);
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    EXPECT_EQ(get(&context), CUDA_SUCCESS);
    EXPECT_EQ(context, simt::current_context());
    int device = -1;
    EXPECT_EQ(set(simt::foreign_context(0)), CUDA_SUCCESS);
    EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
    EXPECT_EQ(device, 0);
    EXPECT_EQ(set(nullptr), CUDA_SUCCESS);
    EXPECT_EQ(simt::current_context(), nullptr);
  });
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSuccess;
  EXPECT_EQ(cudaGetDriverEntryPoint("cuNothing", &found, cudaEnableDefault, &result), cudaSuccess);
  EXPECT_EQ(result, cudaDriverEntryPointSymbolNotFound);
  EXPECT_EQ(found, nullptr);
  simt::options().driver_version = 0;
  EXPECT_EQ(cudaGetDriverEntryPoint("cuCtxGetCurrent", &found, cudaEnableDefault),
            cudaErrorInsufficientDriver);
}

TEST_F(HostThread, KernelsWantAStreamOfTheCurrentContext) {
  simt::options().device_count = 2;
  const DeviceArray<int> x(1);
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const auto launch = [&] { return TT_LAUNCH(set, 1, 1, 0, stream, x.get()); };
  EXPECT_EQ(launch(), cudaSuccess);
  elsewhere([&] {
    EXPECT_EQ(launch(), cudaSuccess) << "the primary context is everybody's";
    EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
    EXPECT_EQ(launch(), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(driver_function<CUresult (*)(CUcontext)>("cuCtxSetCurrent")(simt::foreign_context(0)),
              CUDA_SUCCESS);
    EXPECT_EQ(launch(), cudaErrorInvalidResourceHandle);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess) << "but waits for any";
  });
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

// "Swaps the stream capture interaction mode for a thread": what is potentially unsafe is allowed by the thread's mode and
// those of the captures.
TEST_F(HostThread, ItsModeSaysWhatCapturesForbid) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  cudaMemPool_t pool = nullptr;
  ASSERT_EQ(cudaDeviceGetDefaultMemPool(&pool, 0), cudaSuccess);
  const auto in_mode = [&](cudaStreamCaptureMode mode, bool other_thread) {
    cudaError_t allocated = cudaSuccess, asked = cudaSuccess, set = cudaSuccess;
    const auto call = [&] {
      cudaStreamCaptureMode own = mode;
      EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&own), cudaSuccess);
      EXPECT_EQ(own, cudaStreamCaptureModeGlobal);
      int* p = nullptr;
      unsigned long long value = 0;
      allocated = cudaMalloc(&p, 4);
      asked = cudaMemPoolGetAttribute(pool, cudaMemPoolAttrUsedMemCurrent, &value);
      value = 0;
      set = cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &value);
      EXPECT_EQ(cudaFree(p), allocated);
      EXPECT_EQ(cudaThreadExchangeStreamCaptureMode(&own), cudaSuccess);
      EXPECT_EQ(own, mode);
    };
    if (other_thread)
      elsewhere(call);
    else
      call();
    EXPECT_EQ(asked, allocated);
    EXPECT_EQ(set, allocated);
    return allocated;
  };
  constexpr auto kGlobal = cudaStreamCaptureModeGlobal, kLocal = cudaStreamCaptureModeThreadLocal,
                 kRelaxed = cudaStreamCaptureModeRelaxed;
  const struct {
    cudaStreamCaptureMode capture, thread;
    bool other_thread, allowed;
  } cases[] = {
      {kGlobal, kGlobal, false, false}, {kGlobal, kLocal, false, false},
      {kGlobal, kRelaxed, false, true}, {kGlobal, kGlobal, true, false},
      {kGlobal, kLocal, true, true},    {kGlobal, kRelaxed, true, true},
      {kLocal, kGlobal, false, false},  {kLocal, kRelaxed, false, true},
      {kLocal, kGlobal, true, true},    {kRelaxed, kGlobal, false, true},
  };
  for (const auto& c : cases) {
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, c.capture), cudaSuccess);
    EXPECT_EQ(in_mode(c.thread, c.other_thread),
              c.allowed ? cudaSuccess : cudaErrorStreamCaptureUnsupported)
        << c.capture << " " << c.thread << " " << c.other_thread;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph),
              c.allowed ? cudaSuccess : cudaErrorStreamCaptureInvalidated);
    if (c.allowed) {
      EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    }
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(HostThread, AskingForACaptureReportsALostDevice) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  int host = 0;
  EXPECT_EQ(TT_LAUNCH(set, 1, 1, 0, stream, &host), cudaErrorLaunchFailure);
  cudaStreamCaptureStatus status;
  EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaErrorLaunchFailure);
  simt::clear_failure();
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

TEST_F(HostThread, ACopyFromPageableMemoryMayBeLateWhereTheDeviceReadsIt) {
  simt::options().defer_streams = true;
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const DeviceArray<int> x(1);
  for (const bool late : {false, true}) {
    simt::options().pageable_access = late;
    int host = 1;
    EXPECT_EQ(cudaMemcpyAsync(x.get(), &host, 4, cudaMemcpyHostToDevice, stream), cudaSuccess);
    host = 2;
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(x.values()[0], late ? 2 : 1);
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

}  // namespace
