#include "memory_pool.h"

#include "context.h"

namespace tt::cuda {

MemoryPool::MemoryPool(const Device& device, cudaStream_t stream, Recording& recording)
    : stream_(stream), recording_(recording) {
  if (!device.pools) return;
  cudaMemPoolProps properties{};
  properties.allocType = cudaMemAllocationTypePinned;
  properties.handleTypes = cudaMemHandleTypeNone;
  properties.location.type = cudaMemLocationTypeDevice;
  properties.location.id = device.index;
  const cudaError_t status = cudaMemPoolCreate(&pool_, &properties);
  if (status == cudaErrorNotSupported) {  // some virtual GPUs have the attribute alone
    cudaGetLastError();
    pool_ = nullptr;
    return;
  }
  check(status, "creating a memory pool");
  uint64_t keep_all = UINT64_MAX;  // else every synchronisation gives idle memory back
  const cudaError_t kept =
      cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &keep_all);
  if (kept == cudaSuccess) return;
  cudaMemPoolDestroy(pool_);
  check(kept, "keeping a memory pool's memory");
}

MemoryPool::~MemoryPool() {
  give_back_postponed();
  if (pool_ != nullptr) cudaMemPoolDestroy(pool_);
}

bool MemoryPool::is_captured() const noexcept {
  if (recording_.active()) return true;  // the stream does not have the work yet
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  if (cudaStreamIsCapturing(stream_, &status) != cudaSuccess) {
    cudaGetLastError();
    return true;  // the legacy stream, while another one is captured that an allocation would invalidate
  }
  return status != cudaStreamCaptureStatusNone;
}

cudaError_t MemoryPool::try_take(size_t bytes, void** memory) noexcept {
  const cudaError_t status = pool_ != nullptr
                                 ? cudaMallocFromPoolAsync(memory, bytes, pool_, stream_)
                                 : cudaMalloc(memory, bytes);
  if (status == cudaErrorMemoryAllocation)
    cudaGetLastError();  // the next launch must not report it
  return status;
}

void* MemoryPool::take(size_t bytes, const char* what) {
  recording_.interrupt();
  if (is_captured()) {
    unsupported(format(
        "%s: %zu bytes of device memory cannot be taken while the stream is captured; run the same "
        "call once before",
        what, bytes));
  }
  give_back_postponed();
  void* memory = nullptr;
  cudaError_t status = try_take(bytes, &memory);
  if (status == cudaErrorMemoryAllocation && pool_ != nullptr) {
    trim();  // idle memory may lie in pieces that are too small
    status = try_take(bytes, &memory);
  }
  if (status == cudaErrorMemoryAllocation) {
    out_of_memory(static_cast<int64_t>(bytes), free_memory(), what);
  }
  check(status, what);
  return memory;
}

cudaError_t MemoryPool::give_back(void* memory) noexcept {
  if (is_captured()) {
    try {
      postponed_.push_back(memory);
    } catch (...) {
      return cudaErrorMemoryAllocation;
    }
    return cudaSuccess;
  }
  give_back_postponed();
  if (pool_ != nullptr) return cudaFreeAsync(memory, stream_);
  const cudaError_t done = cudaStreamSynchronize(stream_);
  const cudaError_t freed = cudaFree(memory);
  return done != cudaSuccess ? done : freed;
}

void MemoryPool::give_back_postponed() noexcept {
  if (postponed_.empty()) return;
  std::vector<void*> all;
  all.swap(postponed_);
  for (void* memory : all) give_back(memory);
}

void MemoryPool::trim() noexcept {
  if (is_captured()) return;
  give_back_postponed();
  if (pool_ == nullptr) return;
  cudaStreamSynchronize(stream_);
  if (cudaMemPoolTrimTo(pool_, 0) != cudaSuccess) cudaGetLastError();
}

int64_t MemoryPool::reserved() const {
  if (pool_ == nullptr) return -1;
  uint64_t bytes = 0;
  check(cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &bytes),
        "asking for the memory pool's size");
  return static_cast<int64_t>(bytes);
}

}  // namespace tt::cuda
