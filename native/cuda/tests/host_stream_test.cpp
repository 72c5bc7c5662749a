// Memory and streams that are not ours: what ManagedCuda, ILGPU or TorchSharp have allocated and launched.
#include <gtest/gtest.h>

#include "context.h"

namespace tt::cuda {
namespace {

void count(int64_t) {}

// Work goes on the adopted stream, between what its owner puts there before and after, and nobody waits for it.
TEST(HostStream, OpsTakeForeignMemoryInTheOrderOfAnAdoptedStream) {
  cudaStream_t stream = nullptr, other = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  float* memory = nullptr;  // one allocation, used in parts: as a framework's tensors are
  ASSERT_EQ(cudaMalloc(&memory, 64 * sizeof(float)), cudaSuccess);
  float *source = memory, *x = memory + 13, *weights = memory + 21, *bias = memory + 29,
        *y = memory + 33, *result = memory + 41;
  const float values[] = {1, 2, 3, -1, 0, 1}, w[] = {1, 0, 2, -1, 1, 0}, b[] = {0.5f, -3};
  ASSERT_EQ(cudaMemcpy(source, values, sizeof values, cudaMemcpyDefault), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(weights, w, sizeof w, cudaMemcpyDefault), cudaSuccess);
  ASSERT_EQ(cudaMemcpy(bias, b, sizeof b, cudaMemcpyDefault), cudaSuccess);
  simt::options().defer_streams = true;
  {
    tt_context_options options{};
    options.struct_size = sizeof options;
    options.device = TT_DEVICE_CUDA;
    options.stream = stream;
    Context context(options, count);
    ASSERT_EQ(cudaMemcpyAsync(x, source, sizeof values, cudaMemcpyDeviceToDevice, stream),
              cudaSuccess);
    linear(context, 2, 3, 2, x, weights, bias, TT_RELU, y);
    ASSERT_EQ(cudaMemcpyAsync(result, y, 4 * sizeof(float), cudaMemcpyDeviceToDevice, stream),
              cudaSuccess);
    EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady) << "the op waited for the device";
    EXPECT_EQ(cudaStreamQuery(other), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    float found[4];
    ASSERT_EQ(cudaMemcpy(found, result, sizeof found, cudaMemcpyDefault), cudaSuccess);
    const float expected[] = {7.5f, 0, 1.5f, 0};  // ReLU(x weights^T + bias)
    for (int i = 0; i < 4; i++) EXPECT_EQ(found[i], expected[i]) << i;
  }
  EXPECT_EQ(cudaFree(memory), cudaSuccess) << "and it stays its owner's";
  EXPECT_EQ(cudaStreamDestroy(other), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  simt::options() = simt::Options();
}

}  // namespace
}  // namespace tt::cuda
