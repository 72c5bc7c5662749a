// Captures and graphs: what they keep, and what they refuse as CUDA documents it.
#include <thread>

#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

class Graphs : public testing::Test {
 protected:
  void SetUp() override {
    simt::options().print_failures = false;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaStreamCreateWithFlags(&other_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&second_, cudaEventDisableTiming), cudaSuccess);
  }
  void TearDown() override {
    simt::clear_failure();
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(other_), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(second_), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
    cudaGetLastError();
  }

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) {
    ASSERT_EQ(cudaStreamBeginCapture(stream_, mode), cudaSuccess);
  }
  cudaGraph_t end() {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
    return graph;
  }
  void expect_end(cudaError_t expected) {
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), expected);
    EXPECT_EQ(graph, nullptr);
  }
  cudaStreamCaptureStatus state() {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
    return status;
  }

  cudaStream_t stream_ = nullptr, other_ = nullptr;
  cudaEvent_t event_ = nullptr, second_ = nullptr;
};

__global__ void add(int* x, int amount, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] += amount;
}
__global__ void multiply(int* x, int factor, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) x[i] *= factor;
}
cudaError_t add_on(cudaStream_t stream, int* x, int amount, int n = 32) {
  return TT_LAUNCH(add, (n + 31) / 32, 32, 0, stream, x, amount, n);
}

// The training step's way: the same calls again with other arguments.
TEST_F(Graphs, AnUpdateTakesNewArgumentsGridsAndKernels) {
  const DeviceArray<int> a(std::vector<int>(64, 0)), b(std::vector<int>(64, 0));
  begin();
  EXPECT_EQ(cudaMemsetAsync(a.get(), 0, 128, stream_), cudaSuccess);
  EXPECT_EQ(add_on(stream_, a.get(), 5), cudaSuccess);
  cudaGraph_t graph = end();
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  simt::options().defer_streams = true;
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);

  begin();
  EXPECT_EQ(cudaMemsetAsync(b.get() + 1, 1, 4, stream_), cudaSuccess);
  EXPECT_EQ(TT_LAUNCH(multiply, 2, 32, 0, stream_, b.get(), 3, 64), cudaSuccess);
  graph = end();
  cudaGraphExecUpdateResultInfo info{};
  EXPECT_EQ(cudaGraphExecUpdate(exec, graph, &info), cudaSuccess);
  EXPECT_EQ(info.result, cudaGraphExecUpdateSuccess);
  size_t nodes = 0;
  EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  EXPECT_EQ(nodes, 2u);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(a.values()[31], 5) << "the launch before the update keeps what it was launched with";
  EXPECT_EQ(b.values()[1], 3 * 0x01010101);
}

TEST_F(Graphs, AnUpdateRefusesAnotherShape) {
  const DeviceArray<int> a(std::vector<int>(64, 0));
  int host[64] = {};
  using Work = std::function<void()>;
  const auto graph_of = [&](const Work& work) {
    begin();
    work();
    return end();
  };
  const Work first = [&] {
    EXPECT_EQ(add_on(stream_, a.get(), 1), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(a.get(), a.get() + 32, 8, cudaMemcpyDeviceToDevice, stream_),
              cudaSuccess);
  };
  cudaGraph_t graph = graph_of(first);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  const auto refused = [&](const Work& work, cudaGraphExecUpdateResult why) {
    graph = graph_of(work);
    cudaGraphExecUpdateResultInfo info{};
    EXPECT_EQ(cudaGraphExecUpdate(exec, graph, &info), cudaErrorGraphExecUpdateFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorGraphExecUpdateFailure);
    EXPECT_EQ(info.result, why);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  };
  refused([&] { EXPECT_EQ(add_on(stream_, a.get(), 1), cudaSuccess); },
          cudaGraphExecUpdateErrorTopologyChanged);
  refused(
      [&] {
        first();
        first();
      },
      cudaGraphExecUpdateErrorTopologyChanged);
  refused(
      [&] {
        EXPECT_EQ(add_on(stream_, a.get(), 1), cudaSuccess);
        EXPECT_EQ(cudaMemsetAsync(a.get(), 0, 8, stream_), cudaSuccess);
      },
      cudaGraphExecUpdateErrorNodeTypeChanged);
  refused(
      [&] {
        EXPECT_EQ(add_on(stream_, a.get(), 1), cudaSuccess);
        EXPECT_EQ(cudaMemcpyAsync(a.get(), host, 8, cudaMemcpyHostToDevice, stream_), cudaSuccess);
      },
      cudaGraphExecUpdateErrorParametersChanged);
  refused(  // the same nodes, side by side
      [&] {
        EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
        EXPECT_EQ(cudaStreamWaitEvent(other_, event_, 0), cudaSuccess);
        EXPECT_EQ(add_on(stream_, a.get(), 1), cudaSuccess);
        EXPECT_EQ(cudaMemcpyAsync(a.get(), a.get() + 32, 8, cudaMemcpyDeviceToDevice, other_),
                  cudaSuccess);
        EXPECT_EQ(cudaEventRecord(second_, other_), cudaSuccess);
        EXPECT_EQ(cudaStreamWaitEvent(stream_, second_, 0), cudaSuccess);
      },
      cudaGraphExecUpdateErrorTopologyChanged);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess) << "it is as it was";
  EXPECT_EQ(a.values()[5], 1);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
}

// The mistake that ops make who send small arrays to the device: the source is read when the graph runs.
TEST_F(Graphs, ACopyReadsTheHostsMemoryAtTheLaunch) {
  const DeviceArray<int> a(std::vector<int>(4, 0));
  int host[4] = {1, 2, 3, 4};
  begin();
  EXPECT_EQ(cudaMemcpyAsync(a.get(), host, 16, cudaMemcpyHostToDevice, stream_), cudaSuccess);
  const cudaGraph_t graph = end();
  host[0] = 7;
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(a.values()[0], 7);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

// A workspace that has grown, and a graph that does not know.
TEST_F(Graphs, AGraphOnMemoryThatIsGoneIsDiagnosed) {
  for (const bool fill : {true, false}) {
    int* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, 128), cudaSuccess);
    begin();
    if (fill) {
      EXPECT_EQ(cudaMemsetAsync(memory, 0, 128, stream_), cudaSuccess);
    } else {
      EXPECT_EQ(cudaMemcpyAsync(memory, memory + 16, 64, cudaMemcpyDeviceToDevice, stream_),
                cudaSuccess);
    }
    const cudaGraph_t graph = end();
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph), cudaSuccess);
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaErrorIllegalAddress);
    EXPECT_NE(simt::last_failure().find("is gone"), std::string::npos) << simt::last_failure();
    simt::clear_failure();
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
}

TEST_F(Graphs, WaitingForWhatIsCapturedSpoilsIt) {
  const auto spoilt = [&](const std::function<cudaError_t()>& call, cudaError_t expected) {
    begin(cudaStreamCaptureModeRelaxed);
    EXPECT_EQ(call(), expected);
    EXPECT_EQ(state(), cudaStreamCaptureStatusInvalidated);
    expect_end(cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(state(), cudaStreamCaptureStatusNone);
  };
  spoilt([&] { return cudaStreamSynchronize(stream_); }, cudaErrorStreamCaptureUnsupported);
  spoilt([&] { return cudaStreamQuery(stream_); }, cudaErrorStreamCaptureUnsupported);
  spoilt([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
  for (const auto wait : {cudaEventSynchronize, cudaEventQuery}) {
    spoilt(
        [&] {
          EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
          return wait(event_);
        },
        cudaErrorCapturedEvent);
  }
  const DeviceArray<int> a(std::vector<int>(32, 0));
  spoilt(
      [&] {
        EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorStreamCaptureUnsupported);
        return add_on(stream_, a.get(), 1);
      },
      cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  EXPECT_EQ(a.values()[0], 0);
}

TEST_F(Graphs, TheModeSaysWhoMayAllocate) {
  const auto allocate = [] {
    int* p = nullptr;
    const cudaError_t status = cudaMalloc(&p, 4);
    return status != cudaSuccess ? status : cudaFree(p);
  };
  const auto elsewhere = [&] {
    cudaError_t status = cudaSuccess;
    std::thread([&] { status = allocate(); }).join();
    return status;
  };
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(allocate(), cudaSuccess);
  EXPECT_EQ(elsewhere(), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(end()), cudaSuccess);
  begin(cudaStreamCaptureModeThreadLocal);
  EXPECT_EQ(elsewhere(), cudaSuccess);
  EXPECT_EQ(state(), cudaStreamCaptureStatusActive);
  EXPECT_EQ(allocate(), cudaErrorStreamCaptureUnsupported);
  expect_end(cudaErrorStreamCaptureInvalidated);
  begin(cudaStreamCaptureModeGlobal);
  EXPECT_EQ(elsewhere(), cudaErrorStreamCaptureUnsupported);
  expect_end(cudaErrorStreamCaptureInvalidated);
}

TEST_F(Graphs, OnlyARelaxedCaptureEndsInAnotherThread) {
  for (const auto mode : {cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed}) {
    begin(mode);
    cudaGraph_t graph = nullptr;
    cudaError_t status = cudaSuccess;
    std::thread([&] { status = cudaStreamEndCapture(stream_, &graph); }).join();
    if (mode == cudaStreamCaptureModeThreadLocal) {
      EXPECT_EQ(status, cudaErrorStreamCaptureWrongThread);
      graph = end();
    } else {
      EXPECT_EQ(status, cudaSuccess);
    }
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
}

TEST_F(Graphs, TheDefaultStreamIsForbiddenBesideBlockingStreamsAlone) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  begin(cudaStreamCaptureModeRelaxed);
  EXPECT_EQ(add_on(nullptr, a.get(), 1), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(end()), cudaSuccess);
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(add_on(nullptr, a.get(), 1), cudaErrorStreamCaptureImplicit);
  cudaStreamCaptureStatus status;
  EXPECT_EQ(cudaStreamIsCapturing(nullptr, &status), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess) << "and the capture with it";
  EXPECT_EQ(a.values()[0], 1);
}

TEST_F(Graphs, BranchesHaveToBeJoinedAndKeepApart) {
  const DeviceArray<int> a(std::vector<int>(32, 0));
  begin();
  EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(other_, event_, 0), cudaSuccess);
  EXPECT_EQ(add_on(other_, a.get(), 1), cudaSuccess);
  cudaGraph_t graph = nullptr;
  expect_end(cudaErrorStreamCaptureUnjoined);

  EXPECT_EQ(cudaEventRecord(event_, other_), cudaSuccess);  // outside of the capture
  begin();
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event_, 0), cudaErrorStreamCaptureIsolation);
  expect_end(cudaErrorStreamCaptureInvalidated);

  begin();
  ASSERT_EQ(cudaStreamBeginCapture(other_, cudaStreamCaptureModeGlobal), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event_, stream_), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(other_, event_, 0), cudaErrorStreamCaptureMerge);
  EXPECT_EQ(cudaStreamEndCapture(other_, &graph), cudaErrorStreamCaptureInvalidated);
  expect_end(cudaErrorStreamCaptureInvalidated);

  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph), cudaErrorIllegalState) << "there is none";
  begin();
  EXPECT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaErrorIllegalState);
  EXPECT_EQ(cudaGraphDestroy(end()), cudaSuccess);
}

}  // namespace
