// The host API: memory, copies, streams, events, graphs, errors.
#include <numeric>
#include <thread>

#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

class Runtime : public testing::Test {
 protected:
  void SetUp() override {
    simt::options().print_failures = false;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    simt::clear_failure();
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other_), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
    cudaGetLastError();
  }
  cudaStream_t stream_ = nullptr, other_ = nullptr;
};

__global__ void add(int* x, int amount, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += amount;
}
cudaError_t add_on(cudaStream_t stream, int* x, int amount, int n) {
  return TT_LAUNCH(add, (n + 31) / 32, 32, 0, stream, x, amount, n);
}

TEST_F(Runtime, CopiesBothWaysAndWithin) {
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  const DeviceArray<int> a(values), b(100);
  EXPECT_EQ(cudaMemcpy(b.get(), a.get(), 400, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(b.values(), values);
  EXPECT_EQ(cudaMemset(b.get(), 0, 200), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(b.get() + 90, values.data(), 40, cudaMemcpyDefault), cudaSuccess);
  const std::vector<int> found = b.values();
  EXPECT_EQ(found[49], 0);
  EXPECT_EQ(found[50], 50);
  EXPECT_EQ(found[90], 0);
  EXPECT_EQ(found[99], 9);
}

TEST_F(Runtime, CopiesRectangles) {
  const DeviceArray<int> a(std::vector<int>(12, 7));
  const int rows[4] = {1, 2, 3, 4};
  EXPECT_EQ(cudaMemcpy2DAsync(a.get() + 1, 16, rows, 8, 8, 2, cudaMemcpyHostToDevice, stream_),
            cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(a.values(), (std::vector<int>{7, 1, 2, 7, 7, 3, 4, 7, 7, 7, 7, 7}));
}

TEST_F(Runtime, RefusesCopiesBeyondAnAllocationOrInTheWrongDirection) {
  const DeviceArray<int> a(8);
  int host[16] = {};
  EXPECT_EQ(cudaMemcpy(a.get(), host, 33, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(host, a.get() + 1, 32, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host, a.get(), 32, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(a.get(), host, 32, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(a.get(), 0, 33), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host, 0, 4), cudaErrorInvalidValue);
}

TEST_F(Runtime, NewMemoryIsPoisonedAndAligned) {
  float* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 100), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 256, 0u);
  float host[25];
  ASSERT_EQ(cudaMemcpy(host, p, 100, cudaMemcpyDeviceToHost), cudaSuccess);
  for (float x : host) EXPECT_TRUE(std::isnan(x));
  EXPECT_EQ(cudaFree(p), cudaSuccess);
  EXPECT_EQ(cudaFree(p), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&p, 0), cudaSuccess);
  EXPECT_EQ(p, nullptr);
}

TEST_F(Runtime, MemoryRunsOut) {
  simt::options().memory_bytes = 1 << 20;
  char *a = nullptr, *b = nullptr;
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMalloc(&a, 1 << 19), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(total, 1u << 20);
  EXPECT_EQ(free, 1u << 19);
  EXPECT_EQ(simt::live_bytes(), 1u << 19);
  EXPECT_EQ(cudaMalloc(&b, (1 << 19) + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(b, nullptr);
  EXPECT_EQ(cudaMalloc(&b, 1 << 19), cudaSuccess);
  EXPECT_EQ(cudaFree(a), cudaSuccess);
  EXPECT_EQ(cudaFree(b), cudaSuccess);
  simt::fail_allocation(2);
  ASSERT_EQ(cudaMalloc(&a, 8), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&b, 8), cudaErrorMemoryAllocation);
  simt::options().memory_bytes = 8 << 20;  // a pool takes 2 MiB at a time
  EXPECT_EQ(cudaMallocAsync(&b, 8, stream_), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(b, stream_), cudaSuccess);
  EXPECT_EQ(cudaFree(a), cudaSuccess);
}

TEST_F(Runtime, DeviceTellsWhatItIs) {
  simt::options().compute_capability = 75;
  simt::options().multiprocessors = 13;
  int value = 0;
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0), cudaSuccess);
  EXPECT_EQ(value, 7);
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0),
            cudaSuccess);
  EXPECT_EQ(value, 64 * 1024);
  cudaDeviceProp properties;
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(properties.minor, 5);
  EXPECT_EQ(properties.multiProcessorCount, 13);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  simt::options().device_count = 0;
  EXPECT_EQ(cudaGetDeviceCount(&value), cudaErrorNoDevice);
  int* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorNoDevice);
  EXPECT_EQ(add_on(nullptr, nullptr, 1, 1), cudaErrorNoDevice);
}

TEST_F(Runtime, RefusesBadLaunches) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  const auto launch = [&](dim3 grid, dim3 block, std::size_t shared) {
    return TT_LAUNCH(add, grid, block, shared, stream_, a.get(), 1, 32);
  };
  EXPECT_EQ(launch(0, 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, 1025, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, dim3(32, 1, 65), 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(dim3(1, 65536), 32, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(launch(1, 32, 164 * 1024), cudaErrorInvalidValue);  // sm_80 has 163 KB
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(launch(1, 32, 163 * 1024), cudaSuccess);
  EXPECT_EQ(a.values()[31], 1);
}

TEST_F(Runtime, RefusesPointersThatADeviceCannotRead) {
  std::vector<int> host(32, 0);
  EXPECT_EQ(add_on(stream_, host.data(), 1, 32), cudaErrorLaunchFailure);
  EXPECT_NE(simt::last_failure().find("argument 0"), std::string::npos) << simt::last_failure();
}

TEST_F(Runtime, AFailureSticksUntilTheDeviceIsReset) {
  std::vector<int> host(32, 0);
  int* p = nullptr;
  ASSERT_EQ(cudaMalloc(&p, 128), cudaSuccess);
  ASSERT_EQ(add_on(stream_, host.data(), 1, 32), cudaErrorLaunchFailure);
  EXPECT_EQ(add_on(stream_, p, 1, 32), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaMemset(p, 0, 128), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaDeviceReset(), cudaSuccess);  // also frees what was allocated
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST_F(Runtime, PinnedMemoryIsForBothSides) {
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 128), cudaSuccess);
  for (int i = 0; i < 32; i++) pinned[i] = i;
  EXPECT_EQ(add_on(stream_, pinned, 5, 32), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(pinned[31], 36);
  cudaPointerAttributes attributes;
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, pinned + 3), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeHost);
  EXPECT_EQ(cudaPointerGetAttributes(&attributes, &attributes), cudaSuccess);
  EXPECT_EQ(attributes.type, cudaMemoryTypeUnregistered);
  EXPECT_EQ(cudaFree(pinned), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Runtime, EventsMeasureTime) {
  cudaEvent_t start, end;
  ASSERT_EQ(cudaEventCreate(&start), cudaSuccess);
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  const DeviceArray<int> a(std::vector<int>(1000, 0));
  float ms = -1.0f;
  EXPECT_EQ(cudaEventElapsedTime(&ms, start, end),
            cudaErrorInvalidResourceHandle);  // never recorded
  cudaGetLastError();
  EXPECT_EQ(cudaEventRecord(start, stream_), cudaSuccess);
  EXPECT_EQ(add_on(stream_, a.get(), 1, 1000), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&ms, start, end), cudaSuccess);
  EXPECT_GT(ms, 0.0f);
  EXPECT_EQ(cudaEventDestroy(start), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(end, stream_), cudaErrorInvalidResourceHandle);
}

// The numbers behave as if freed memory were kept; the memory itself is gone at once.
TEST_F(Runtime, PoolsKeepWhatIsFreedAndFragment) {
  simt::options().memory_bytes = 64 << 20;
  cudaMemPoolProps properties{};
  cudaMemPool_t pool = nullptr;
  EXPECT_EQ(cudaMemPoolCreate(&pool, &properties), cudaErrorInvalidValue);
  properties.allocType = cudaMemAllocationTypePinned;
  properties.location.type = cudaMemLocationTypeDevice;
  ASSERT_EQ(cudaMemPoolCreate(&pool, &properties), cudaSuccess);
  const auto number = [&](cudaMemPoolAttr attribute) {
    unsigned long long value = 0;
    EXPECT_EQ(cudaMemPoolGetAttribute(pool, attribute, &value), cudaSuccess);
    return value;
  };
  unsigned long long keep = ~0ull;
  EXPECT_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), cudaSuccess);
  char *a = nullptr, *b = nullptr, *plain = nullptr;
  EXPECT_EQ(cudaMallocFromPoolAsync(&a, 1 << 20, pool, stream_), cudaSuccess);
  EXPECT_EQ(cudaMallocFromPoolAsync(&b, 1 << 20, pool, stream_), cudaSuccess);
  EXPECT_EQ(number(cudaMemPoolAttrReservedMemCurrent), 2u << 20) << "in units";
  EXPECT_EQ(number(cudaMemPoolAttrUsedMemCurrent), 2u << 20);
  EXPECT_EQ(cudaFreeAsync(a, stream_), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(a, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(b), cudaSuccess) << "cudaFree may, too";
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(number(cudaMemPoolAttrReservedMemCurrent), 2u << 20);
  EXPECT_EQ(number(cudaMemPoolAttrUsedMemCurrent), 0u);
  EXPECT_EQ(cudaMalloc(&plain, 63 << 20), cudaErrorMemoryAllocation) << "the pool has 2 MiB";
  EXPECT_EQ(cudaMallocFromPoolAsync(&a, 63 << 20, pool, stream_), cudaErrorMemoryAllocation)
      << "and two blocks of 1 MiB do not help";
  EXPECT_EQ(cudaMemPoolTrimTo(pool, 0), cudaSuccess);
  EXPECT_EQ(number(cudaMemPoolAttrReservedMemCurrent), 0u);
  EXPECT_EQ(cudaMallocFromPoolAsync(&a, 63 << 20, pool, stream_), cudaSuccess);
  EXPECT_EQ(number(cudaMemPoolAttrReservedMemHigh), 64u << 20);
  keep = 0;
  EXPECT_EQ(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(a, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(number(cudaMemPoolAttrReservedMemCurrent), 0u) << "released at a synchronisation";
  EXPECT_EQ(cudaMalloc(&plain, 8), cudaSuccess);
  EXPECT_EQ(cudaFreeAsync(plain, stream_), cudaErrorInvalidValue) << "not of a pool";
  EXPECT_EQ(cudaFree(plain), cudaSuccess);
  EXPECT_EQ(cudaMallocFromPoolAsync(&a, 8, pool, stream_), cudaSuccess);
  EXPECT_EQ(cudaMemPoolDestroy(pool), cudaSuccess) << "it goes with the last of its memory";
  EXPECT_EQ(cudaMallocFromPoolAsync(&b, 8, pool, stream_), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeAsync(a, stream_), cudaSuccess);
  simt::options().memory_pools = false;
  EXPECT_EQ(cudaMemPoolCreate(&pool, &properties), cudaErrorNotSupported);
}

// What a test sets around a call that must not wait for the device.
TEST_F(Runtime, RefusesToWaitWhereTheEnvironmentSaysSo) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  int host[32];
  cudaEvent_t event;
  ASSERT_EQ(cudaEventCreate(&event), cudaSuccess);
  setenv("SIMT_WAITS", "0", 1);
  EXPECT_EQ(add_on(stream_, a.get(), 3, 32), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(a.get(), host, 4, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorNotPermitted);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorNotPermitted);
  EXPECT_EQ(cudaEventSynchronize(event), cudaErrorNotPermitted);
  EXPECT_EQ(cudaMemcpy(host, a.get(), 128, cudaMemcpyDeviceToHost), cudaErrorNotPermitted);
  EXPECT_EQ(cudaMemcpyAsync(host, a.get(), 128, cudaMemcpyDeviceToHost, stream_),
            cudaErrorNotPermitted);
  unsetenv("SIMT_WAITS");
  EXPECT_EQ(cudaMemcpyAsync(host, a.get(), 128, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(host[31], 3);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

// Deferred streams show who relies on work that nobody waited for.
TEST_F(Runtime, DeferredWorkHappensWhenSomebodyWaits) {
  simt::options().defer_streams = true;
  const DeviceArray<int> a(std::vector<int>(32, 0));
  int* pinned = nullptr;
  ASSERT_EQ(cudaMallocHost(&pinned, 128), cudaSuccess);
  pinned[0] = -1;
  EXPECT_EQ(add_on(stream_, a.get(), 3, 32), cudaSuccess);
  EXPECT_EQ(cudaMemcpyAsync(pinned, a.get(), 128, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(pinned[0], -1);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(pinned[0], 3);
  EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess);
  EXPECT_EQ(add_on(stream_, a.get(), 3, 32), cudaSuccess);
  int host[32];
  EXPECT_EQ(cudaMemcpyAsync(host, a.get(), 128, cudaMemcpyDeviceToHost, stream_), cudaSuccess);
  EXPECT_EQ(host[0], 6);  // pageable memory: the copy waits
  EXPECT_EQ(cudaFreeHost(pinned), cudaSuccess);
}

TEST_F(Runtime, EventsOrderDeferredStreams) {
  simt::options().defer_streams = true;
  const DeviceArray<int> a(std::vector<int>(32, 1));
  cudaEvent_t event;
  ASSERT_EQ(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  int one[32];
  std::fill(one, one + 32, 100);
  EXPECT_EQ(cudaMemcpyAsync(a.get(), one, 128, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  std::fill(one, one + 32, 0);  // a pageable source was read already
  EXPECT_EQ(cudaEventRecord(event, stream_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamWaitEvent(other_, event, 0), cudaSuccess);
  EXPECT_EQ(add_on(other_, a.get(), 1, 32), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(other_), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(a.values()[5], 101);
  EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
}

TEST_F(Runtime, GraphsReplayWhatWasCaptured) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaEvent_t fork, join;
  ASSERT_EQ(cudaEventCreateWithFlags(&fork, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaEventCreateWithFlags(&join, cudaEventDisableTiming), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(a.get(), 0, 128, stream_), cudaSuccess);
  EXPECT_EQ(add_on(stream_, a.get(), 2, 32), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(fork, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(other_, fork, 0), cudaSuccess);
  EXPECT_EQ(add_on(other_, a.get(), 40, 32), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(join, other_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, join, 0), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(a.values()[0], 0);  // nothing ran yet
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(add_on(stream_, a.get(), 1000, 32), cudaSuccess);
  for (int i = 0; i < 2; i++) EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(a.values()[31], 42);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(fork), cudaSuccess);
  EXPECT_EQ(cudaEventDestroy(join), cudaSuccess);
}

TEST_F(Runtime, CaptureRefusesWhatSynchronises) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  cudaStreamCaptureStatus status;
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusInvalidated);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  int* p = nullptr;
  EXPECT_EQ(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal),
            cudaErrorStreamCaptureUnsupported);
}

TEST_F(Runtime, HostThreadsShareTheDevice) {
  const DeviceArray<int> a(std::vector<int>(4 * 64, 0));
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; t++)
    threads.emplace_back([&a, t] {
      cudaStream_t stream;
      EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
      for (int i = 0; i < 20; i++)
        EXPECT_EQ(add_on(stream, a.get() + t * 64, t + 1, 64), cudaSuccess);
      EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
  for (std::thread& thread : threads) thread.join();
  const std::vector<int> found = a.values();
  for (int i = 0; i < 256; i++) EXPECT_EQ(found[i], (i / 64 + 1) * 20);
}

__constant__ float table[4] = {0.0f, 0.0f, 0.0f, 0.0f};
__global__ void read_table(float* out) {
  out[threadIdx.x] = table[threadIdx.x];
}
TEST_F(Runtime, ConstantMemoryIsCopiedTo) {
  const float values[3] = {1.0f, 2.0f, 3.0f};
  EXPECT_EQ(cudaMemcpyToSymbol(table, values, sizeof values, 4), cudaSuccess);
  EXPECT_EQ(cudaMemcpyToSymbol(table, values, sizeof values, 8), cudaErrorInvalidValue);
  const DeviceArray<float> out(4);
  EXPECT_EQ(TT_LAUNCH(read_table, 1, 4, 0, stream_, out.get()), cudaSuccess);
  EXPECT_EQ(out.values(), (std::vector<float>{0.0f, 1.0f, 2.0f, 3.0f}));
}

TEST_F(Runtime, HostFunctionsRunInOrder) {
  simt::options().defer_streams = true;
  std::vector<int> seen;
  EXPECT_EQ(cudaLaunchHostFunc(
                stream_, [](void* p) { static_cast<std::vector<int>*>(p)->push_back(1); }, &seen),
            cudaSuccess);
  EXPECT_TRUE(seen.empty());
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(seen.size(), 1u);
}

}  // namespace
