// Threads that wait for what cannot come, and limits of the device.
#include "planted.h"

namespace {

using planted::Bug;
using planted::DeviceArray;
using planted::gives_indices;
using planted::kAlways;
using planted::kNever;
using planted::kSometimes;

__global__ void divergent_barrier(float* out, bool wrong) {
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wrong && threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
bool divergent_barrier_of(bool wrong) {
  return gives_indices(divergent_barrier, wrong, 64);
}

__global__ void early_exit(float* out, bool wrong) {
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wrong && threadIdx.x >= 40) return;
  __syncthreads();
}
bool early_exit_of(bool wrong) {
  return gives_indices(early_exit, wrong, 64);
}

__global__ void deadlock(float* out, bool wrong) {
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
  ptx::bar_sync(wrong && threadIdx.x >= 32 ? 2 : 1, 64);  // each half waits for the other
}
bool deadlock_of(bool wrong) {
  return gives_indices(deadlock, wrong, 64);
}

__global__ void half_warp(float* out, bool wrong) {
  const unsigned t = threadIdx.x;
  float value = static_cast<float>(t);
  if (t < 16) value = __shfl_sync(wrong ? 0xffffffffu : 0x0000ffffu, value, static_cast<int>(t));
  out[t] = value;
}
bool half_warp_of(bool wrong) {
  return gives_indices(half_warp, wrong, 32);
}

__global__ void divergent_warp(float* out, bool wrong) {
  const int t = static_cast<int>(threadIdx.x);
  int value = t;
  if (wrong && t % 2 == 0) {
    value = __shfl_sync(simt_test::kFull, value, t);
  } else {
    value =
        __shfl_xor_sync(wrong ? simt_test::kFull : __ballot_sync(simt_test::kFull, 1), value, 0);
  }
  out[t] = static_cast<float>(value);
}
bool divergent_warp_of(bool wrong) {
  return gives_indices(divergent_warp, wrong, 32);
}

__global__ void not_in_mask(float* out, bool wrong) {
  const int t = static_cast<int>(threadIdx.x);
  int value = t;
  if (t < 16) value = __shfl_sync(0x0000ffffu, value, wrong ? t + 16 : t, 32);
  out[t] = static_cast<float>(value);
}
bool not_in_mask_of(bool wrong) {
  return gives_indices(not_in_mask, wrong, 32);
}

__global__ void spin(unsigned* flag, float* out, bool wrong) {
  out[blockIdx.x] = static_cast<float>(blockIdx.x);
  if (wrong)
    while (atomicAdd(flag, 0u) == 0u) __nanosleep(100);
}
bool spin_of(bool wrong) {
  const DeviceArray<unsigned> flag(std::vector<unsigned>{0});
  const DeviceArray<float> out(1);
  return TT_LAUNCH(spin, 1, 1, 0, nullptr, flag.get(), out.get(), wrong) == cudaSuccess;
}

__global__ void too_much_shared(float* out, bool wrong) {
  TT_SHARED(float, big, [11 * 1024]);
  big[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (wrong) {
    TT_SHARED(float, more, [2 * 1024]);
    more[threadIdx.x] = 0.0f;
  }
  out[threadIdx.x] = big[threadIdx.x];
}
bool too_much_shared_of(bool wrong) {
  return gives_indices(too_much_shared, wrong, 32);
}

__attribute__((noinline)) int recurse(int n, volatile char* up) {
  volatile char frame[4096];
  frame[0] = static_cast<char>(n + up[0]);
  return n == 0 ? frame[0] : recurse(n - 1, frame) + frame[0];
}
__global__ void stack_overflow(float* out, bool wrong) {
  volatile char start[1] = {0};
  const int deep = recurse(wrong ? 100000 : 3, start);
  out[threadIdx.x] = static_cast<float>(threadIdx.x) + 0.0f * static_cast<float>(deep);
}
bool stack_overflow_of(bool wrong) {
  return gives_indices(stack_overflow, wrong, 1);
}

const Bug kBugs[] = {
    // plain, check, ASan, TSan
    {"DivergentBarrier", divergent_barrier_of, kAlways, kAlways, kAlways, kAlways,
     "divergent __syncthreads: this thread is at .*planted_waiting_test.cpp:[0-9]+, others wait "
     "at"},
    {"ExitBeforeBarrier", early_exit_of, kAlways, kAlways, kAlways, kAlways,
     "wait for it in __syncthreads|have left the kernel"},
    {"Deadlock", deadlock_of, kAlways, kAlways, kAlways, kAlways,
     "deadlock(.|\n)*barrier 1(.|\n)*barrier 2"},
    {"HalfAWarp", half_warp_of, kAlways, kAlways, kAlways, kAlways,
     "left the kernel|leaves the kernel"},
    {"DivergentShuffle", divergent_warp_of, kAlways, kAlways, kAlways, kAlways,
     "divergent warp operation"},
    {"ShuffleFromOutside", not_in_mask_of, kAlways, kAlways, kAlways, kAlways,
     "reads lane .*not in mask"},
    {"EndlessSpin", spin_of, kAlways, kAlways, kAlways, kAlways, "endless spinning"},
    {"StaticSharedLimit", too_much_shared_of, kAlways, kAlways, kAlways, kAlways, "48 KB"},
    {"StackOverflow", stack_overflow_of, kAlways, kAlways, kAlways, kAlways,
     "stack overflow|stack-overflow"},
};
PLANTED_BUGS(Waiting, kBugs);

}  // namespace
