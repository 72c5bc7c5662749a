// Accesses that nothing orders, and asynchronous copies that nobody waits for.
#include "planted.h"

namespace {

using planted::Bug;
using planted::DeviceArray;
using planted::gives_indices;
using planted::kAlways;
using planted::kNever;
using planted::kSometimes;

// ---- order ------------------------------------------------------------------------------------------

__global__ void barrier(float* out, bool wrong) {
  TT_SHARED(float, tile, [64]);
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = static_cast<float>(63 - t);
  if (!wrong) __syncthreads();
  out[t] = tile[63 - t];
}
bool barrier_of(bool wrong) {
  return gives_indices(barrier, wrong, 64);
}

__global__ void barrier_before_reuse(float* out, bool wrong) {
  TT_SHARED(float, tile, [64]);
  const int t = static_cast<int>(threadIdx.x);
  float sum = 0.0f;
  for (int round = 0; round < 3; round++) {
    tile[t] = static_cast<float>(round == 2 ? 63 - t : 1000 + round);
    __syncthreads();
    sum = tile[63 - t];
    if (!wrong) __syncthreads();
  }
  out[t] = sum;
}
bool barrier_before_reuse_of(bool wrong) {
  // The last round is right either way; what the earlier ones read has to be looked at too.
  return gives_indices(barrier_before_reuse, wrong, 64);
}

__global__ void reuse_shows(float* out, bool wrong) {
  TT_SHARED(float, tile, [64]);
  const int t = static_cast<int>(threadIdx.x);
  float sum = 0.0f;
  for (int round = 0; round < 4; round++) {
    tile[t] = static_cast<float>(round);
    __syncthreads();
    sum += tile[63 - t] - static_cast<float>(round);
    if (!wrong) __syncthreads();
  }
  out[t] = sum + static_cast<float>(t);
}
bool reuse_shows_of(bool wrong) {
  return gives_indices(reuse_shows, wrong, 64);
}

__global__ void warp_barrier(float* out, bool wrong) {
  TT_SHARED(float, tile, [32]);
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = static_cast<float>(t ^ 1);
  if (!wrong) __syncwarp();
  out[t] = tile[t ^ 1];
}
bool warp_barrier_of(bool wrong) {
  return gives_indices(warp_barrier, wrong, 32);
}

// A shuffle makes the lanes meet, so the result is always right here; but it orders no memory.
__global__ void shuffle_for_barrier(float* out, bool wrong) {
  TT_SHARED(float, tile, [32]);
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = static_cast<float>(t ^ 1);
  const int zero = __shfl_xor_sync(simt_test::kFull, 0, 1);
  if (!wrong) __syncwarp();
  out[t] = tile[t ^ 1] + static_cast<float>(zero);
}
bool shuffle_for_barrier_of(bool wrong) {
  return gives_indices(shuffle_for_barrier, wrong, 32);
}

__global__ void warp_barrier_too_small(float* out, bool wrong) {
  TT_SHARED(float, tile, [64]);
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = static_cast<float>(63 - t);
  if (wrong) __syncwarp();  // where warps exchange, the block must wait
  if (!wrong) __syncthreads();
  out[t] = tile[63 - t];
}
bool warp_barrier_too_small_of(bool wrong) {
  return gives_indices(warp_barrier_too_small, wrong, 64);
}

__global__ void unordered_global(float* out, bool wrong) {
  const int t = static_cast<int>(threadIdx.x);
  out[t] = static_cast<float>(63 - t);
  if (!wrong) __syncthreads();
  const float other = out[63 - t];
  __syncthreads();
  out[t] = other;
}
bool unordered_global_of(bool wrong) {
  return gives_indices(unordered_global, wrong, 64);
}

__global__ void blocks_share(float* out, bool wrong) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = static_cast<float>(i);
  if (wrong && i == 40) out[3] = 3.0f;  // the right value, but another block's element
}
bool blocks_share_of(bool wrong) {
  return gives_indices(blocks_share, wrong, 32, 0, 2);
}

// ---- asynchronous copies ------------------------------------------------------------------------------

__global__ void copy_wait(const float* in, float* out, int wrong) {
  TT_SHARED(float, tile, [2][32]);
  const int t = static_cast<int>(threadIdx.x);
  ptx::cp_async<4>(&tile[0][t], in + t);
  ptx::cp_async_commit();
  ptx::cp_async<4>(&tile[1][t], in + t);
  ptx::cp_async_commit();
  if (wrong == 0) ptx::cp_async_wait<0>();
  if (wrong == 1) ptx::cp_async_wait<1>();  // one group too many may be left
  __syncwarp();
  const float value = tile[1][31 - t];
  ptx::cp_async_wait<0>();
  out[t] = value;
}
bool run_copy_wait(int wrong) {
  std::vector<float> down(32), up(32);
  for (int i = 0; i < 32; i++) down[i] = static_cast<float>(31 - i), up[i] = static_cast<float>(i);
  const DeviceArray<float> in(down), out(32);
  return TT_LAUNCH(copy_wait, 1, 32, 0, nullptr, in.get(), out.get(), wrong) == cudaSuccess &&
         out.values() == up;
}
bool copy_wait_of(bool wrong) {
  return run_copy_wait(wrong ? 1 : 0);
}
bool copy_no_wait_of(bool wrong) {
  return run_copy_wait(wrong ? 2 : 0);
}

__global__ void copy_barrier(const float* in, float* out, bool wrong) {
  TT_SHARED(float, tile, [32]);
  const int t = static_cast<int>(threadIdx.x);
  ptx::cp_async<4>(&tile[t], in + t);
  ptx::cp_async_wait_all();
  if (!wrong) __syncwarp();  // the wait is for the own copies only
  out[t] = tile[31 - t];
}
bool copy_barrier_of(bool wrong) {
  std::vector<float> down(32), up(32);
  for (int i = 0; i < 32; i++) down[i] = static_cast<float>(31 - i), up[i] = static_cast<float>(i);
  const DeviceArray<float> in(down), out(32);
  return TT_LAUNCH(copy_barrier, 1, 32, 0, nullptr, in.get(), out.get(), wrong) == cudaSuccess &&
         out.values() == up;
}

__global__ void copy_left(const float* in, float* out, bool wrong) {
  TT_SHARED(float, tile, [32]);
  ptx::cp_async<4>(&tile[threadIdx.x], in + threadIdx.x);
  ptx::cp_async_commit();
  if (!wrong) ptx::cp_async_wait<0>();
  out[threadIdx.x] = 0.0f;
}
bool copy_left_of(bool wrong) {
  const DeviceArray<float> in(std::vector<float>(32, 1.0f)), out(32);
  return TT_LAUNCH(copy_left, 1, 32, 0, nullptr, in.get(), out.get(), wrong) == cudaSuccess;
}

const Bug kBugs[] = {
    // plain, check, ASan, TSan
    {"MissingBarrier", barrier_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race|nobody has written"},
    {"MissingBarrierUnseen", barrier_before_reuse_of, kNever, kAlways, kNever, kAlways,
     "race|data race"},
    {"MissingBarrierBeforeReuse", reuse_shows_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race"},
    {"MissingSyncwarp", warp_barrier_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race|nobody has written"},
    {"ShuffleForSyncwarp", shuffle_for_barrier_of, kNever, kAlways, kNever, kAlways,
     "race|data race"},
    {"SyncwarpForBarrier", warp_barrier_too_small_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race|nobody"},
    {"GlobalRace", unordered_global_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race|nobody"},
    {"RaceBetweenBlocks", blocks_share_of, kNever, kAlways, kNever, kNever,
     "race.* of another block"},
    {"CopyWaitTooShort", copy_wait_of, kAlways, kAlways, kAlways, kAlways, "cp.async|data race|^$"},
    {"NoCopyWait", copy_no_wait_of, kAlways, kAlways, kAlways, kAlways, "cp.async|data race|^$"},
    {"NoBarrierAfterCopyWait", copy_barrier_of, kSometimes, kAlways, kSometimes, kAlways,
     "race|data race|cp.async|nobody"},
    {"CopyLeftUnderWay", copy_left_of, kAlways, kAlways, kAlways, kAlways, "cp.async under way"},
};
PLANTED_BUGS(Order, kBugs);

}  // namespace
