// Recording on the emulated device: what becomes part of a graph, what interrupts it, and somebody else's stream.
#include <gtest/gtest.h>

#include <cstdlib>

#include "context.h"

namespace tt::cuda {
namespace {

void count(int64_t) {}

template <class F>
tt_error error_of(F&& f) {
  tt_error error{};
  guard(error, f);
  return error;
}

__global__ void fill_kernel(int* to, int value, int count) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < count) to[i] = value;
}
void fill(Context& context, int* to, int value, int size = 32) {
  check(TT_LAUNCH(fill_kernel, 1, 32, 0, context.stream, to, value, size), "test");
}

class HostGraph : public testing::Test {
 protected:
  void SetUp() override {
    simt::options().print_failures = false;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  void TearDown() override {
    unsetenv("TWINTAIL_CUDA_GRAPHS");
    EXPECT_EQ(simt::last_failure(), "");
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::clear_failure();
    simt::options() = simt::Options();
    cudaGetLastError();
  }
  tt_context_options options() const {
    tt_context_options o{};
    o.struct_size = sizeof o;
    o.device = TT_DEVICE_CUDA;
    o.stream = stream_;
    return o;
  }
  // The first section of a context records nothing.
  static void warm(Context& context) {
    context.recording.begin();
    EXPECT_FALSE(context.recording.active());
    context.recording.end();
  }

  cudaStream_t stream_ = nullptr;
};

class Ints {
 public:
  explicit Ints(Context& context) : context_(context) {
    memory_ = static_cast<int*>(context.pool.take(32 * sizeof(int), "test"));
    check(cudaMemsetAsync(memory_, 0, 32 * sizeof(int), context.stream), "test");
  }
  ~Ints() { EXPECT_EQ(context_.pool.give_back(memory_), cudaSuccess); }
  Ints(const Ints&) = delete;
  Ints& operator=(const Ints&) = delete;
  operator int*() const { return memory_; }
  int last() const {
    int values[32];
    read(context_, memory_, 32, values, "test");
    return values[31];
  }

 private:
  Context& context_;
  int* memory_;
};

TEST_F(HostGraph, NothingRunsBeforeTheEndAndLaterSectionsAreUpdates) {
  simt::options().defer_streams = true;
  Context context(options(), count);
  const Ints a(context), b(context);
  warm(context);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  for (int step = 1; step <= 4; ++step) {
    context.recording.begin();
    EXPECT_TRUE(context.recording.active());
    EXPECT_NE(context.stream, stream_);
    fill(context, a, step);
    check(cudaMemcpyAsync(b, a, 128, cudaMemcpyDeviceToDevice, context.stream), "test");
    if (step == 3) fill(context, a, -step);
    EXPECT_EQ(cudaStreamQuery(stream_), cudaSuccess) << "the stream has nothing to do yet";
    context.recording.end();
    EXPECT_EQ(context.stream, stream_);
    EXPECT_EQ(cudaStreamQuery(stream_), cudaErrorNotReady) << "nobody has waited";
    EXPECT_EQ(b.last(), step);
    EXPECT_EQ(a.last(), step == 3 ? -3 : step);
    EXPECT_EQ(context.recording.counts().nodes, step == 3 ? 3 : 2);
  }
  EXPECT_EQ(context.recording.counts().launched, 4);
  EXPECT_EQ(context.recording.counts().built, 3)
      << "the first, the third of another shape, and the fourth";
  EXPECT_EQ(context.recording.counts().cut, 0);
}

TEST_F(HostGraph, WhateverAnUpdateFailsWithTheGraphIsBuiltAnew) {
  for (const int error : {cudaErrorGraphExecUpdateFailure, cudaErrorNotSupported}) {
    Context context(options(), count);
    const Ints a(context);
    warm(context);
    simt::options().graph_update_error = error;
    for (int step = 1; step <= 3; ++step) {
      context.recording.begin();
      fill(context, a, step);
      const tt_error failed = error_of([&] { context.recording.end(); });
      EXPECT_EQ(failed.status, TT_OK) << failed.message;
      EXPECT_EQ(a.last(), step);
    }
    simt::options().graph_update_error = 0;
    EXPECT_EQ(context.recording.counts().built, 3);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next launch does not report it";
  }
}

TEST_F(HostGraph, WhatAGraphCannotHoldInterruptsIt) {
  Context context(options(), count);
  const Ints a(context);
  warm(context);
  void* taken = nullptr;
  const std::function<void()> interruptions[] = {
      [&] { EXPECT_EQ(a.last(), 1) << "what was recorded has run"; },
      [&] {
        const int values[32] = {};
        write(context, values, 32, static_cast<int*>(a), "test");
      },
      [&] { taken = context.pool.take(100, "test"); },
      [&] { Scope(context.workspace).get<char>(64 << 10); },
  };
  int64_t cut = 0;
  for (const auto& interruption : interruptions) {
    context.recording.begin();
    fill(context, a, 1);
    interruption();
    EXPECT_FALSE(context.recording.active()) << "the rest goes straight to the stream";
    EXPECT_EQ(context.recording.counts().cut, ++cut);
    fill(context, a, 2);
    context.recording.end();
    EXPECT_EQ(a.last(), 2);
  }
  context.recording.begin();
  Scope(context.workspace).get<char>(64 << 10);
  EXPECT_TRUE(context.recording.active()) << "the workspace is large enough";
  context.recording.end();
  EXPECT_EQ(context.recording.counts().launched, cut) << "an empty section is no graph";
  EXPECT_EQ(context.pool.give_back(taken), cudaSuccess);
}

// The graph may be launched long after the memory was given back, and the next may have it only then.
TEST_F(HostGraph, MemoryGivenBackIsKeptUntilTheGraphIsLaunched) {
  for (const bool pools : {true, false}) {
    simt::options().memory_pools = pools;
    Context context(options(), count);
    const Ints b(context);
    warm(context);
    int* a = static_cast<int*>(context.pool.take(128, "test"));
    context.recording.begin();
    fill(context, a, 5);
    check(cudaMemcpyAsync(b, a, 128, cudaMemcpyDeviceToDevice, context.stream), "test");
    EXPECT_EQ(context.pool.give_back(a), cudaSuccess);
    EXPECT_TRUE(context.recording.active());
    context.recording.end();
    EXPECT_EQ(b.last(), 5);
    EXPECT_EQ(context.pool.give_back(context.pool.take(8, "test")), cudaSuccess);
    EXPECT_EQ(simt::live_allocations(), 1u) << simt::describe_allocations();
  }
}

TEST_F(HostGraph, AnAdoptedStreamStaysItsOwners) {
  Context context(options(), count);
  const Ints a(context);
  warm(context);
  context.recording.begin();
  fill(context, a, 3);
  cudaStreamCaptureStatus status;
  EXPECT_EQ(cudaStreamIsCapturing(stream_, &status), cudaSuccess);
  EXPECT_EQ(status, cudaStreamCaptureStatusNone);
  EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
  int* other = nullptr;  // on this thread, while the recording goes on
  EXPECT_EQ(cudaMalloc(&other, 128), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(other, a, 128, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaFree(other), cudaSuccess);
  EXPECT_TRUE(context.recording.active());
  context.recording.end();
  EXPECT_EQ(a.last(), 3);
  EXPECT_EQ(context.recording.counts().launched, 1);
}

TEST_F(HostGraph, AStreamThatItsOwnerCapturesGetsTheWorkAsItIs) {
  Context context(options(), count);
  const Ints a(context);
  warm(context);
  ASSERT_EQ(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal), cudaSuccess);
  context.recording.begin();
  EXPECT_FALSE(context.recording.active());
  fill(context, a, 4);
  context.recording.end();
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph), cudaSuccess);
  EXPECT_EQ(a.last(), 0);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(a.last(), 4);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(HostGraph, TheDefaultStreamMayBeAdopted) {
  tt_context_options o = options();
  o.stream = cudaStreamLegacy;
  Context context(o, count);
  const Ints a(context);
  warm(context);
  context.recording.begin();
  fill(context, a, 6);
  EXPECT_TRUE(context.recording.active());
  context.recording.end();
  EXPECT_EQ(a.last(), 6);
}

TEST_F(HostGraph, TheEnvironmentSwitchesItOff) {
  setenv("TWINTAIL_CUDA_GRAPHS", "off", 1);
  {
    Context context(options(), count);
    EXPECT_FALSE(context.recording.allowed());
    const Ints a(context);
    warm(context);
    context.recording.begin();
    fill(context, a, 1);
    EXPECT_FALSE(context.recording.active());
    context.recording.end();
    EXPECT_EQ(context.recording.counts().launched, 0);
    EXPECT_EQ(a.last(), 1);
  }
  setenv("TWINTAIL_CUDA_GRAPHS", "perhaps", 1);
  const tt_error error = error_of([&] { Context context(options(), count); });
  EXPECT_EQ(error.status, TT_BAD_ARGUMENT);
  EXPECT_STREQ(error.argument, "TWINTAIL_CUDA_GRAPHS");
}

// A library that waits in a capture: the work is lost, which is said once, and all goes on without graphs.
TEST_F(HostGraph, ASpoiltCaptureIsATypedErrorAndTheContextGoesOn) {
  Context context(options(), count);
  const Ints a(context);
  warm(context);
  context.recording.begin();
  fill(context, a, 1);
  EXPECT_EQ(cudaStreamSynchronize(context.stream), cudaErrorStreamCaptureUnsupported);
  const tt_error error = error_of([&] { context.recording.end(); });
  EXPECT_EQ(error.status, TT_INTERNAL);
  EXPECT_NE(std::string(error.message).find("TWINTAIL_CUDA_GRAPHS=off"), std::string::npos)
      << error.message;
  EXPECT_NE(std::string(error.message).find("cudaErrorStreamCaptureInvalidated"), std::string::npos)
      << error.message;
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess) << "the next launch does not report it";
  EXPECT_EQ(a.last(), 0);
  for (int step = 1; step <= 2; ++step) {
    context.recording.begin();
    EXPECT_FALSE(context.recording.active());
    fill(context, a, step);
    context.recording.end();
    EXPECT_EQ(a.last(), step);
  }
}

TEST_F(HostGraph, AContextMayEndInASection) {
  Context other(options(), count);
  const Ints a(other);
  {
    tt_context_options own = options();
    own.stream = nullptr;
    Context context(own, count);
    warm(context);
    context.recording.begin();
    fill(context, a, 1);
  }
  EXPECT_EQ(a.last(), 0) << "tt_context_destroy ends the section before";
}

}  // namespace
}  // namespace tt::cuda
