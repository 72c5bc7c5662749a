// cp.async: what arrives, when, and in which groups.
#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

SIMT_SEEDED(AsyncCopy);

__global__ void copy_sizes(const float* in, float* out) {
  TT_SHARED(float, buffer, [3][32][4]);
  const unsigned t = threadIdx.x;
  ptx::cp_async<16>(buffer[0][t], in + 4 * t);
  ptx::cp_async<8>(&buffer[1][t][0], in + 4 * t);
  ptx::cp_async<8>(&buffer[1][t][2], in + 4 * t + 2, t % 2 == 0);
  for (int i = 0; i < 4; i++) ptx::cp_async<4>(&buffer[2][t][i], in + 4 * t + i, i != 1);
  ptx::cp_async_commit();
  ptx::cp_async_wait<0>();
  __syncthreads();
  for (int k = 0; k < 3; k++)
    for (int i = 0; i < 4; i++) out[(k * 32 + t) * 4 + i] = buffer[k][31 - t][i];
}
TEST_P(AsyncCopy, CopiesAllSizesAndFillsWithZeros) {
  const std::vector<float> values = simt_test::random_floats(128, 1);
  const DeviceArray<float> in(values), out(3 * 128);
  ASSERT_EQ(TT_LAUNCH(copy_sizes, 1, 32, 0, nullptr, in.get(), out.get()), cudaSuccess);
  const std::vector<float> found = out.values();
  for (int t = 0; t < 32; t++)
    for (int i = 0; i < 4; i++) {
      const int from = 31 - t;
      const float value = values[4 * from + i];
      EXPECT_EQ(found[t * 4 + i], value);
      EXPECT_EQ(found[128 + t * 4 + i], i >= 2 && from % 2 != 0 ? 0.0f : value);
      EXPECT_EQ(found[256 + t * 4 + i], i == 1 ? 0.0f : value);
    }
}

// Four groups in flight at most; each is used as soon as a wait covers it.
template <int kStages>
__global__ void pipeline(const int* in, int steps, int* out) {
  TT_SHARED(int, stage, [kStages][64]);
  const int t = static_cast<int>(threadIdx.x);
  for (int s = 0; s < kStages - 1; s++) {
    if (s < steps) ptx::cp_async<4>(&stage[s][t], in + s * 64 + t);
    ptx::cp_async_commit();
  }
  int sum = 0;
  for (int s = 0; s < steps; s++) {
    ptx::cp_async_wait<kStages - 2>();
    __syncthreads();
    sum += stage[s % kStages][63 - t] * (s + 1);
    const int next = s + kStages - 1;
    if (next < steps) ptx::cp_async<4>(&stage[next % kStages][t], in + next * 64 + t);
    ptx::cp_async_commit();
  }
  ptx::cp_async_wait<0>();
  out[t] = sum;
}
template <int kStages>
void check_pipeline(int steps) {
  std::vector<int> values(steps * 64);
  for (std::size_t i = 0; i < values.size(); i++) values[i] = static_cast<int>(i * 31 % 1009);
  const DeviceArray<int> in(values), out(64);
  ASSERT_EQ(TT_LAUNCH(pipeline<kStages>, 1, 64, 0, nullptr, in.get(), steps, out.get()),
            cudaSuccess);
  const std::vector<int> found = out.values();
  for (int t = 0; t < 64; t++) {
    int sum = 0;
    for (int s = 0; s < steps; s++) sum += values[s * 64 + 63 - t] * (s + 1);
    EXPECT_EQ(found[t], sum);
  }
}
TEST_P(AsyncCopy, PipelinesOfSeveralDepths) {
  check_pipeline<2>(5);
  check_pipeline<3>(1);
  check_pipeline<4>(9);
}

__global__ void wait_all(const int* in, int* out) {
  TT_SHARED(int, buffer, [32]);
  ptx::cp_async<4>(&buffer[threadIdx.x], in + threadIdx.x);  // never committed
  ptx::cp_async_wait_all();
  out[threadIdx.x] = buffer[threadIdx.x];
}
TEST_P(AsyncCopy, WaitAllTakesUncommittedCopies) {
  std::vector<int> values(32);
  for (int i = 0; i < 32; i++) values[i] = i + 1;
  const DeviceArray<int> in(values), out(32);
  ASSERT_EQ(TT_LAUNCH(wait_all, 1, 32, 0, nullptr, in.get(), out.get()), cudaSuccess);
  EXPECT_EQ(out.values(), values);
}

}  // namespace
