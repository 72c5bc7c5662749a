// MemoryPool and Workspace on the emulated device: with memory pools and without.
#include <gtest/gtest.h>

#include "context.h"

namespace tt::cuda {
namespace {

int64_t counted = 0;
void count(int64_t delta) {
  counted += delta;
}

/// TT_OUT_OF_MEMORY from f, or whatever else came.
template <class F>
tt_error error_of(F&& f) {
  tt_error error{};
  guard(error, f);
  return error;
}

class HostMemory : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    simt::options().memory_pools = pools();
    simt::options().memory_bytes = 64 << 20;
  }
  void TearDown() override {
    simt::fail_allocation(0);
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    EXPECT_EQ(counted, 0);
    size_t free = 0, total = 0;
    EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
    EXPECT_EQ(free, total) << "nothing is kept from the device";
    simt::options() = simt::Options();
    cudaGetLastError();
  }
  static bool pools() { return GetParam(); }
  static tt_context_options options(void* stream = nullptr) {
    tt_context_options o{};
    o.struct_size = sizeof o;
    o.device = TT_DEVICE_CUDA;
    o.stream = stream;
    return o;
  }
};
INSTANTIATE_TEST_SUITE_P(Pools, HostMemory, testing::Bool(), [](const auto& parameter) {
  return std::string(parameter.param ? "With" : "Without");
});

TEST_P(HostMemory, FreedMemoryIsKeptUntilItIsTrimmed) {
  Context context(options(), count);
  EXPECT_EQ(context.device.pools, pools());
  void* memory = context.pool.take(5 << 20, "test");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 256, 0u);
  EXPECT_EQ(simt::live_bytes(), size_t{5} << 20);
  EXPECT_EQ(context.pool.give_back(memory), cudaSuccess);
  EXPECT_EQ(simt::live_bytes(), 0u);
  EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
  if (!pools()) {
    EXPECT_EQ(context.pool.reserved(), -1);
    return;
  }
  const int64_t reserved = context.pool.reserved();
  EXPECT_GE(reserved, 5 << 20) << "also over a synchronisation";
  EXPECT_EQ(context.pool.give_back(context.pool.take(3 << 20, "test")), cudaSuccess);
  EXPECT_EQ(context.pool.reserved(), reserved) << "taken from what was kept";
  context.pool.trim();
  EXPECT_EQ(context.pool.reserved(), 0);
}

TEST_P(HostMemory, GivingBackWaitsForNobody) {
  if (!pools()) GTEST_SKIP() << "cudaFree waits";
  simt::options().defer_streams = true;
  Context context(options(), count);
  void* memory = context.pool.take(100, "test");
  EXPECT_EQ(cudaMemsetAsync(memory, 0, 100, context.stream), cudaSuccess);
  EXPECT_EQ(context.pool.give_back(memory), cudaSuccess);
  EXPECT_EQ(cudaStreamQuery(context.stream), cudaErrorNotReady) << "the stream has not run";
  EXPECT_EQ(simt::live_bytes(), 100u) << "nor was the memory freed before its use";
  EXPECT_NE(context.pool.give_back(memory), cudaSuccess) << "but it is promised already";
  EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
  EXPECT_EQ(simt::live_bytes(), 0u);
}

TEST_P(HostMemory, OutOfMemoryTellsAskedAndFreeAndAllGoesOn) {
  Context context(options(), count);
  void* first = context.pool.take(40 << 20, "test");
  const tt_error error = error_of([&] { context.pool.take(30 << 20, "the test's matrix"); });
  EXPECT_EQ(error.status, TT_OUT_OF_MEMORY);
  EXPECT_EQ(error.asked_bytes, 30 << 20);
  EXPECT_EQ(error.free_bytes, 24 << 20);
  EXPECT_NE(std::string(error.message).find("the test's matrix"), std::string::npos)
      << error.message;
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next launch does not report it";
  void* second = context.pool.take(20 << 20, "test");
  EXPECT_EQ(context.pool.give_back(first), cudaSuccess);
  EXPECT_EQ(context.pool.give_back(second), cudaSuccess);
  EXPECT_EQ(context.pool.give_back(context.pool.take(30 << 20, "test")), cudaSuccess);
}

// A workspace grows by half of itself at least, if there is room for that: 22 MiB here, where 20 are free.
TEST_P(HostMemory, WorkspaceTakesWhatItNeedsWhereItCannotHaveMore) {
  Context context(options(), count);
  {
    Scope scope(context.workspace);
    scope.get<char>(44 << 20);
    scope.get<char>(15 << 20);
    EXPECT_EQ(simt::live_bytes(), size_t{59} << 20);
    EXPECT_EQ(error_of([&] { scope.get<char>(15 << 20); }).status, TT_OUT_OF_MEMORY);
  }
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
}

// 60 of 64 MiB lie idle in small pieces: they have to go before a large one fits.
TEST_P(HostMemory, IdleMemoryIsNoReasonToFail) {
  Context context(options(), count);
  std::vector<void*> pieces;
  for (int i = 0; i < 30; ++i) pieces.push_back(context.pool.take(2 << 20, "test"));
  for (void* piece : pieces) EXPECT_EQ(context.pool.give_back(piece), cudaSuccess);
  EXPECT_EQ(context.pool.give_back(context.pool.take(50 << 20, "test")), cudaSuccess);
}

TEST_P(HostMemory, AnAllocationThatFailsOnceIsTriedAgain) {
  Context context(options(), count);
  simt::fail_allocation(1);
  void* memory = nullptr;
  const tt_error error = error_of([&] { memory = context.pool.take(100, "test"); });
  if (!pools()) {
    EXPECT_EQ(error.status, TT_OUT_OF_MEMORY);
    return;
  }
  EXPECT_EQ(error.status, TT_OK) << error.message;
  EXPECT_EQ(context.pool.give_back(memory), cudaSuccess);
}

TEST_P(HostMemory, MemoryOutlivesItsContext) {
  void* memory = nullptr;
  Context other(options(), count);
  {
    Context context(options(), count);
    memory = context.pool.take(100, "test");
    EXPECT_EQ(cudaMemsetAsync(memory, 0, 100, context.stream), cudaSuccess);
  }
  EXPECT_EQ(cudaMemsetAsync(memory, 0, 100, other.stream), cudaSuccess);
  EXPECT_EQ(other.pool.give_back(memory), cudaSuccess);
}

TEST_P(HostMemory, WorkspaceGrowsToOneChunk) {
  Context context(options(), count);
  {
    Scope scope(context.workspace);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(scope.get<char>(1)) % 256, 0u);
    scope.get<float>(1 << 20);
    scope.get<double>(1 << 20);
  }
  const int64_t size = context.workspace.reserved();
  EXPECT_GE(size, 12 << 20);
  EXPECT_EQ(counted, size);
  EXPECT_EQ(simt::live_allocations(), 1u) << simt::describe_allocations();
  EXPECT_LT(context.pool.reserved(), size + (4 << 20)) << "not twice";
  const float* before = nullptr;
  for (int i = 0; i < 3; ++i) {
    Scope scope(context.workspace);
    const float* now = scope.get<float>(3 << 20);
    EXPECT_TRUE(i == 0 || now == before);
    before = now;
  }
  EXPECT_EQ(context.workspace.reserved(), size);
  context.workspace.trim();
  context.pool.trim();
  EXPECT_EQ(context.workspace.reserved(), 0);
  EXPECT_EQ(simt::live_allocations(), 0u);
  EXPECT_LE(context.pool.reserved(), 0);
}

TEST_P(HostMemory, WorkspaceThatIsTooLargeIsATypedError) {
  Context context(options(), count);
  const tt_error error = error_of([&] {
    Scope scope(context.workspace);
    scope.get<char>(1 << 20);
    scope.get<char>(1 << 30);
  });
  EXPECT_EQ(error.status, TT_OUT_OF_MEMORY);
  EXPECT_EQ(error.asked_bytes, 1 << 30);
  EXPECT_GT(error.free_bytes, 0);
  Scope scope(context.workspace);
  EXPECT_NE(scope.get<char>(2 << 20), nullptr);
}

// The way to ask for what is free: by asking for what no device has.
TEST_P(HostMemory, MoreThanTheDeviceHasIsRefusedBeforeAnythingIsDone) {
  Context context(options(), count);
  void* kept = context.pool.take(3 << 20, "test");
  EXPECT_EQ(context.pool.give_back(context.pool.take(5 << 20, "test")), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaSuccess);
  const int64_t reserved = context.pool.reserved();
  context.recording.begin();  // the first section records nothing
  context.recording.end();
  context.recording.begin();
  const tt_error error = error_of([&] { context.pool.take(size_t{1} << 50, "test"); });
  EXPECT_EQ(error.status, TT_OUT_OF_MEMORY) << error.message;
  EXPECT_EQ(error.asked_bytes, int64_t{1} << 50);
  EXPECT_EQ(error.free_bytes, (64 - 3) << 20) << "idle memory can be taken, too";
  EXPECT_EQ(context.pool.reserved(), reserved) << "and stays where it is";
  EXPECT_TRUE(context.recording.active());
  context.recording.end();
  EXPECT_EQ(context.pool.give_back(kept), cudaSuccess);
}

__global__ void touch_kernel(int* p) {
  *p = 1;
}

// Asking whether a stream is captured may answer with what went wrong before.
TEST_P(HostMemory, ALostDeviceIsNotTakenForACapture) {
  simt::options().print_failures = false;
  Context context(options(), count);
  void* memory = context.pool.take(100, "test");
  int host = 0;
  EXPECT_NE(TT_LAUNCH(touch_kernel, 1, 1, 0, context.stream, &host), cudaSuccess);
  EXPECT_EQ(error_of([&] { context.pool.take(100, "test"); }).status, TT_DEVICE_ERROR);
  EXPECT_NE(context.pool.give_back(memory), cudaSuccess) << "it is not kept for later";
  context.recording.begin();  // the first section asks nothing
  EXPECT_EQ(error_of([&] { context.recording.begin(); }).status, TT_DEVICE_ERROR);
  simt::clear_failure();
}

// Where the device reads pageable memory by itself, the copy may be made after the call.
TEST_P(HostMemory, WhatIsWrittenMayGoAtOnce) {
  simt::options().pageable_access = simt::options().defer_streams = true;
  Context context(options(), count);
  int* memory = static_cast<int*>(context.pool.take(2 * sizeof(int), "test"));
  int values[2] = {1, 2};
  write(context, values, 2, memory, "test");
  values[0] = values[1] = 0;
  read(context, memory, 2, values, "test");
  EXPECT_EQ(values[0], 1);
  EXPECT_EQ(values[1], 2);
  EXPECT_EQ(context.pool.give_back(memory), cudaSuccess);
}

// A graph must not own memory that others go on using.
TEST_P(HostMemory, ACaptureTakesNothingAndGivesBackLater) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    Context context(options(stream), count);
    EXPECT_EQ(context.stream, stream);
    {
      Scope scope(context.workspace);
      scope.get<float>(100);
    }
    void* memory = context.pool.take(100, "test");
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    {
      Scope scope(context.workspace);
      float* there = scope.get<float>(100);
      EXPECT_EQ(cudaMemsetAsync(there, 0, 400, stream), cudaSuccess);
      EXPECT_EQ(error_of([&] { scope.get<float>(10 << 20); }).status, TT_UNSUPPORTED);
    }
    EXPECT_EQ(error_of([&] { context.pool.take(100, "test"); }).status, TT_UNSUPPORTED);
    EXPECT_EQ(context.pool.give_back(memory), cudaSuccess);
    context.pool.trim();
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess)
        << "none of that spoils the capture";
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 2u);
    EXPECT_EQ(context.pool.give_back(context.pool.take(100, "test")), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 1u) << "the workspace";
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess) << "an adopted stream stays";
}

}  // namespace
}  // namespace tt::cuda
