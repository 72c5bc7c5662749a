// Indices, barriers, shared memory and atomics.
#include <numeric>

#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

SIMT_SEEDED(Block);

__global__ void indices(unsigned* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  out[block * threads + thread] = block * 1000 + threadIdx.x * 100 + threadIdx.y * 10 + threadIdx.z;
}
TEST_P(Block, EveryThreadRunsOnceWithItsIndices) {
  const dim3 grid(3, 2, 2), block(5, 3, 2);
  const DeviceArray<unsigned> out(12 * 30);
  ASSERT_EQ(TT_LAUNCH(indices, grid, block, 0, nullptr, out.get()), cudaSuccess);
  const std::vector<unsigned> found = out.values();
  for (unsigned b = 0; b < 12; b++)
    for (unsigned t = 0; t < 30; t++)
      EXPECT_EQ(found[b * 30 + t], b * 1000 + t % 5 * 100 + t / 5 % 3 * 10 + t / 15);
}

__global__ void scan(const int* in, int* out) {
  TT_SHARED(int, sums, [2][256]);
  int now = 0;
  sums[now][threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  for (unsigned distance = 1; distance < 256; distance *= 2) {
    sums[1 - now][threadIdx.x] =
        sums[now][threadIdx.x] + (threadIdx.x >= distance ? sums[now][threadIdx.x - distance] : 0);
    now = 1 - now;
    __syncthreads();
  }
  out[threadIdx.x] = sums[now][threadIdx.x];
}
TEST_P(Block, BarriersOrderSharedMemory) {
  std::vector<int> values(256);
  for (int i = 0; i < 256; i++) values[i] = i * 7 % 11;
  const DeviceArray<int> in(values), out(256);
  ASSERT_EQ(TT_LAUNCH(scan, 1, 256, 0, nullptr, in.get(), out.get()), cudaSuccess);
  std::partial_sum(values.begin(), values.end(), values.begin());
  EXPECT_EQ(out.values(), values);
}

__global__ void count(unsigned limit, int* out) {
  const int p = threadIdx.x < limit ? 5 : 0;
  const int counted = __syncthreads_count(p), all = __syncthreads_and(p), any = __syncthreads_or(p);
  out[threadIdx.x] = counted * 4 + (all != 0 ? 2 : 0) + (any != 0 ? 1 : 0);
}
TEST_P(Block, BarriersVote) {
  const DeviceArray<int> out(96);
  for (unsigned limit : {0u, 1u, 40u, 96u}) {
    ASSERT_EQ(TT_LAUNCH(count, 1, 96, 0, nullptr, limit, out.get()), cudaSuccess);
    const int expected = static_cast<int>(limit) * 4 + (limit == 96 ? 2 : 0) + (limit > 0 ? 1 : 0);
    EXPECT_EQ(out.values(), std::vector<int>(96, expected));
  }
}

// Two producer warps fill a ring of two slots for two consumer warps, by named barriers alone.
__global__ void produce_and_consume(int rounds, int* out) {
  TT_SHARED(int, slots, [2][64]);
  const unsigned full = 1, empty = 3, threads = 128, lane = threadIdx.x % 64;
  if (threadIdx.x < 64) {
    for (int i = 0; i < rounds; i++) {
      if (i >= 2) ptx::bar_sync(empty + i % 2, threads);
      slots[i % 2][lane] = i * 100 + static_cast<int>(lane);
      ptx::bar_arrive(full + i % 2, threads);
    }
  } else {
    int sum = 0;
    for (int i = 0; i < rounds; i++) {
      ptx::bar_sync(full + i % 2, threads);
      sum += slots[i % 2][63 - lane];
      if (i + 2 < rounds) ptx::bar_arrive(empty + i % 2, threads);
    }
    out[lane] = sum;
  }
}
TEST_P(Block, NamedBarriersHandOver) {
  const DeviceArray<int> out(64);
  ASSERT_EQ(TT_LAUNCH(produce_and_consume, 1, 128, 0, nullptr, 7, out.get()), cudaSuccess);
  const std::vector<int> found = out.values();
  for (int i = 0; i < 64; i++) EXPECT_EQ(found[i], 2100 + 7 * (63 - i));
}

template <int kSize>
__device__ int sum_in_shared(int value) {
  TT_SHARED(int, values, [kSize]);  // one per instantiation
  TT_SHARED(int, total, );
  values[threadIdx.x % kSize] = value;
  __syncthreads();
  if (threadIdx.x == 0) {
    total = 0;
    for (int i = 0; i < kSize; i++) total += values[i];
  }
  __syncthreads();
  const int result = total;
  __syncthreads();
  return result;
}
__global__ void several_variables(int* out) {
  TT_DYN_SHARED(int, extra);
  extra[threadIdx.x] = static_cast<int>(threadIdx.x);
  const int a = sum_in_shared<32>(1);
  const int b = sum_in_shared<32>(2);
  __syncthreads();
  out[blockIdx.x * 32 + threadIdx.x] = a * 10000 + b * 100 + extra[31 - threadIdx.x];
}
TEST_P(Block, SharedVariablesAreApart) {
  const DeviceArray<int> out(3 * 32);
  ASSERT_EQ(TT_LAUNCH(several_variables, 3, 32, 32 * sizeof(int), nullptr, out.get()), cudaSuccess);
  const std::vector<int> found = out.values();
  for (int i = 0; i < 96; i++) EXPECT_EQ(found[i], 32 * 10000 + 64 * 100 + 31 - i % 32);
}

__global__ void large_shared(int n, float* out) {
  TT_DYN_SHARED(float, buffer);
  for (int i = threadIdx.x; i < n; i += blockDim.x) buffer[i] = static_cast<float>(i);
  __syncthreads();
  if (threadIdx.x == 0) out[0] = buffer[n - 1] + buffer[0];
}
TEST_P(Block, DynamicSharedMemoryBeyond48KB) {
  const DeviceArray<float> out(1);
  const int n = 100 * 1024 / 4;
  ASSERT_EQ(TT_LAUNCH(large_shared, 1, 64, n * sizeof(float), nullptr, n, out.get()), cudaSuccess);
  EXPECT_EQ(out.values()[0], static_cast<float>(n - 1));
}

struct Atomics {
  int add, sub, smallest, largest, conjunction, disjunction, parity;
  unsigned increment, decrement, swapped;
  unsigned long long wide;
  float real;
  double precise;
};
__global__ void all_atomics(Atomics* a, unsigned* old_increments) {
  TT_SHARED(int, local, );
  if (threadIdx.x == 0) local = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&local, 1);
  atomicAdd(&a->add, i);
  atomicSub(&a->sub, 2);
  atomicMin(&a->smallest, i - 5);
  atomicMax(&a->largest, i);
  atomicAnd(&a->conjunction, ~(1 << i % 16));
  atomicOr(&a->disjunction, 1 << i % 16);
  atomicXor(&a->parity, 1 << i % 3);
  old_increments[i] = atomicInc(&a->increment, 49);
  atomicDec(&a->decrement, 1000);
  atomicAdd(&a->wide, 1ull << 33);
  atomicAdd(&a->real, 0.5f);
  atomicAdd(&a->precise, 0.25);
  unsigned seen = 0, expected;
  do {  // a hand-made addition
    expected = seen;
    seen = atomicCAS(&a->swapped, expected, expected + 3);
  } while (seen != expected);
  __syncthreads();
  if (threadIdx.x == 0)
    atomicExch(&old_increments[i], static_cast<unsigned>(atomicExch(&local, 0)));
}
TEST_P(Block, Atomics) {
  Atomics start = {};
  start.conjunction = 0xffff;
  start.decrement = 100;
  start.smallest = 7;
  const DeviceArray<Atomics> a(std::vector<Atomics>{start});
  const DeviceArray<unsigned> increments(100);
  ASSERT_EQ(TT_LAUNCH(all_atomics, 2, 50, 0, nullptr, a.get(), increments.get()), cudaSuccess);
  const Atomics found = a.values()[0];
  EXPECT_EQ(found.add, 99 * 100 / 2);
  EXPECT_EQ(found.sub, -200);
  EXPECT_EQ(found.smallest, -5);
  EXPECT_EQ(found.largest, 99);
  EXPECT_EQ(found.conjunction, 0);
  EXPECT_EQ(found.disjunction, 0xffff);
  EXPECT_EQ(found.parity, 6);      // 34, 33 and 33 flips
  EXPECT_EQ(found.increment, 0u);  // wraps after 49, twice
  EXPECT_EQ(found.decrement, 0u);
  EXPECT_EQ(found.swapped, 300u);
  EXPECT_EQ(found.wide, 100ull << 33);
  EXPECT_EQ(found.real, 50.0f);
  EXPECT_EQ(found.precise, 25.0);
  std::vector<unsigned> old = increments.values();
  EXPECT_EQ(old[0], 50u);  // each block counted its threads in shared memory
  EXPECT_EQ(old[50], 50u);
}

// The last block to finish adds up what the others left: a fence and an atomic hand data over.
__global__ void last_block_sums(float* partial, unsigned* tickets, float* out) {
  TT_SHARED(bool, last, );
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = static_cast<float>(blockIdx.x + 1);
    __threadfence();
    last = atomicAdd(tickets, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && threadIdx.x == 0) {
    __threadfence();
    float sum = 0.0f;
    for (unsigned i = 0; i < gridDim.x; i++) sum += partial[i];
    out[0] = sum;
  }
}
TEST_P(Block, FenceAndAtomicHandOverBetweenBlocks) {
  const DeviceArray<float> partial(9), out(1);
  const DeviceArray<unsigned> tickets(std::vector<unsigned>{0});
  ASSERT_EQ(TT_LAUNCH(last_block_sums, 9, 32, 0, nullptr, partial.get(), tickets.get(), out.get()),
            cudaSuccess);
  EXPECT_EQ(out.values()[0], 45.0f);
}

// A lock within a block: the one who spins must let the holder go on.
__global__ void with_lock(int* lock, int* counter) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      atomicAdd(counter, 1);
      __nanosleep(10);
      atomicExch(lock, 0);
      done = true;
    } else {
      __nanosleep(10);
    }
  }
}
TEST_P(Block, SpinningLetsOthersRun) {
  const DeviceArray<int> state(std::vector<int>{0, 0});
  ASSERT_EQ(TT_LAUNCH(with_lock, 1, 64, 0, nullptr, state.get(), state.get() + 1), cudaSuccess);
  EXPECT_EQ(state.values(), (std::vector<int>{0, 64}));
}

}  // namespace
