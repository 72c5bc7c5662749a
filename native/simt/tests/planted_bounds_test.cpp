// Accesses out of bounds, to memory that a device cannot reach, misaligned, or of bytes nobody wrote.
#include "planted.h"

namespace {

using planted::Bug;
using planted::DeviceArray;
using planted::gives_indices;
using planted::kAlways;
using planted::kNever;
using planted::kSometimes;

__global__ void shared_write(float* out, bool wrong) {
  TT_SHARED(float, before, [32]);
  TT_SHARED(float, tile, [32]);
  TT_SHARED(float, after, [32]);
  const int t = static_cast<int>(threadIdx.x);
  before[t] = after[t] = 0.0f;
  tile[t + (wrong ? 1 : 0)] = static_cast<float>(t);
  __syncwarp();
  out[t] = tile[t + (wrong && t < 31 ? 1 : 0)] + before[t] + after[t];
}
bool shared_write_of(bool wrong) {
  return gives_indices(shared_write, wrong, 32);
}

__global__ void shared_read(float* out, bool wrong) {
  TT_SHARED(float, tile, [33]);
  const int t = static_cast<int>(threadIdx.x);
  tile[t] = static_cast<float>(t);
  if (t == 0) tile[32] = 0.0f;
  __syncwarp();
  out[t] = tile[t] + 0.0f * tile[t == 5 ? (wrong ? 33 : 32) : t];
}
bool shared_read_of(bool wrong) {
  return gives_indices(shared_read, wrong, 32);
}

__global__ void dynamic_write(float* out, bool wrong) {
  TT_DYN_SHARED(float, buffer);
  const int t = static_cast<int>(threadIdx.x);
  buffer[wrong ? t + 1 : t] = static_cast<float>(t);
  __syncwarp();
  out[t] = buffer[wrong ? t + 1 : t];
}
bool dynamic_write_of(bool wrong) {
  return gives_indices(dynamic_write, wrong, 32, 32 * sizeof(float));
}

__global__ void global_write(float* out, bool wrong) {
  const int t = static_cast<int>(threadIdx.x);
  out[t] = static_cast<float>(t);
  if (wrong && t == 31) out[32] = 1.0f;
}
bool global_write_of(bool wrong) {
  return gives_indices(global_write, wrong, 32);
}

__global__ void global_before(float* out, bool wrong) {
  const int t = static_cast<int>(threadIdx.x);
  out[t] = static_cast<float>(t);
  if (wrong && t == 0) out[t - 2] = 1.0f;
}
bool global_before_of(bool wrong) {
  return gives_indices(global_before, wrong, 32);
}

__global__ void global_read(const float* in, float* out, int n) {
  const int t = static_cast<int>(threadIdx.x);
  out[t] = in[t] + 0.0f * in[t == 31 ? n : t];
}
bool global_read_of(bool wrong) {
  std::vector<float> numbers(32);
  for (int i = 0; i < 32; i++) numbers[i] = static_cast<float>(i);
  const DeviceArray<float> in(numbers), out(32);
  return TT_LAUNCH(global_read, 1, 32, 0, nullptr, in.get(), out.get(), wrong ? 32 : 31) ==
             cudaSuccess &&
         out.values() == numbers;
}

bool far_read_of(bool wrong) {
  const DeviceArray<float> in(std::vector<float>(32, 1.0f)), out(32);
  return TT_LAUNCH(global_read, 1, 32, 0, nullptr, in.get(), out.get(), wrong ? 5000 : 31) ==
         cudaSuccess;
}

__global__ void through_pointer(float** pointer, float* out) {
  out[threadIdx.x] = (*pointer)[threadIdx.x];
}
bool pointer_of(float* p, std::size_t live) {
  const DeviceArray<float*> pointer(std::vector<float*>{p});
  const DeviceArray<float> out(live);
  return TT_LAUNCH(through_pointer, 1, 32, 0, nullptr, pointer.get(), out.get()) == cudaSuccess;
}
bool freed_memory_of(bool wrong) {
  float *freed = nullptr, *live = nullptr;
  cudaMalloc(&freed, 128);
  cudaMalloc(&live, 128);
  cudaMemset(live, 0, 128);
  cudaMemset(freed, 0, 128);
  cudaFree(freed);
  return pointer_of(wrong ? freed : live, 32);
}
bool null_pointer_of(bool wrong) {
  float* live = nullptr;
  cudaMalloc(&live, 128);
  cudaMemset(live, 0, 128);
  return pointer_of(wrong ? nullptr : live, 32);
}
bool host_pointer_of(bool wrong) {  // hidden in a struct, where the launch cannot see it
  const std::vector<float> host(32, 1.0f);
  float* live = nullptr;
  cudaMalloc(&live, 128);
  cudaMemset(live, 0, 128);
  return pointer_of(wrong ? const_cast<float*>(host.data()) : live, 32);
}

bool host_touches_device_of(bool wrong) {
  DeviceArray<float> a(std::vector<float>(4, 1.0f));
  if (wrong) *static_cast<volatile float*>(a.get()) = 2.0f;
  return a.values()[1] == 1.0f;
}

// One scalar: the compiler would split a float4 into four floats, each of them aligned. The value read is 0 either way,
// so that nothing but a check of the address can tell.
__global__ void misaligned(float* out, bool wrong) {
  TT_SHARED(unsigned long long, tile, [4]);
  if (threadIdx.x == 0) {
    for (int i = 0; i < 4; i++) tile[i] = blockIdx.x;
    const char* bytes = reinterpret_cast<const char*>(tile) + (wrong ? 4 : 8);
    out[0] = static_cast<float>(*reinterpret_cast<const unsigned long long*>(bytes));
  }
}
bool misaligned_of(bool wrong) {
  return gives_indices(misaligned, wrong, 1);
}

__global__ void uninitialised(float* out, bool wrong) {
  TT_SHARED(float, tile, [64]);
  const int t = static_cast<int>(threadIdx.x);
  if (!wrong || t < 60) tile[t] = static_cast<float>(t);
  __syncthreads();
  out[t] = tile[t];
}
bool uninitialised_of(bool wrong) {
  return gives_indices(uninitialised, wrong, 64);
}

__global__ void uninitialised_global(float* out, bool wrong) {
  if (!wrong) out[threadIdx.x] = 0.0f;
  out[threadIdx.x] += static_cast<float>(threadIdx.x);
}
bool uninitialised_global_of(bool wrong) {
  return gives_indices(uninitialised_global, wrong, 32);
}

const Bug kBugs[] = {
    // plain, check, ASan, TSan
    {"SharedWrite", shared_write_of, kAlways, kAlways, kAlways, kAlways,
     "after the end of (shared )?tile|use-after-poison|out of bounds"},
    {"SharedRead", shared_read_of, kAlways, kAlways, kAlways, kAlways,
     "after the end of shared tile|use-after-poison|out of bounds|^$"},
    {"DynamicSharedWrite", dynamic_write_of, kAlways, kAlways, kAlways, kAlways,
     "after the end of shared dynamic|use-after-poison"},
    {"GlobalWrite", global_write_of, kAlways, kAlways, kAlways, kAlways,
     "0 bytes after the end of cudaMalloc of 128|heap-buffer-overflow"},
    {"GlobalWriteBefore", global_before_of, kAlways, kAlways, kAlways, kAlways,
     "8 bytes before .*cudaMalloc of 128|heap-buffer-overflow"},
    {"GlobalRead", global_read_of, kAlways, kAlways, kAlways, kAlways,
     "after the end of cudaMalloc|heap-buffer-overflow|^$"},
    {"GlobalReadFarBeyond", far_read_of, kAlways, kAlways, kSometimes, kAlways,
     "after the end of cudaMalloc|AddressSanitizer"},
    {"FreedMemory", freed_memory_of, kAlways, kAlways, kAlways, kAlways,
     "freed cudaMalloc|heap-use-after-free"},
    {"NullPointer", null_pointer_of, kAlways, kAlways, kAlways, kAlways, "null pointer|SEGV"},
    {"HostPointerInMemory", host_pointer_of, kNever, kAlways, kNever, kNever,
     "memory that the device does not have"},
    {"HostTouchesDevice", host_touches_device_of, kAlways, kAlways, kNever, kAlways,
     "host code touches device memory"},
    {"Misaligned", misaligned_of, kNever, kAlways, kAlways, kNever, "misaligned"},
    {"UninitialisedShared", uninitialised_of, kAlways, kAlways, kAlways, kAlways,
     "nobody has written|^$"},
    {"UninitialisedGlobal", uninitialised_global_of, kAlways, kAlways, kAlways, kAlways,
     "nobody has written|^$"},
};
PLANTED_BUGS(Bounds, kBugs);

}  // namespace
