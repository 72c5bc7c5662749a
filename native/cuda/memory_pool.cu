#include "memory_pool.h"

#include "context.h"

namespace tt::cuda {

MemoryPool::MemoryPool(const Device& device, cudaStream_t stream, Recording& recording)
    : stream_(stream), recording_(recording), device_bytes_(device.memory_bytes) {
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

/// Whether the stream does not have the work yet that was put there before.
bool MemoryPool::keeps_work_back() const noexcept {
  bool captured = false;
  ask_captured(stream_, &captured);  // who then frees or waits learns of a device that is lost
  return captured || recording_.active();
}

/// What can be taken, as far as the device says: what nobody has, and what lies idle here.
int64_t MemoryPool::free_bytes() const {
  const int64_t unused = free_memory();
  uint64_t reserved = 0, used = 0;
  if (unused < 0 || pool_ == nullptr ||
      cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrReservedMemCurrent, &reserved) != cudaSuccess ||
      cudaMemPoolGetAttribute(pool_, cudaMemPoolAttrUsedMemCurrent, &used) != cudaSuccess) {
    cudaGetLastError();
    return unused;
  }
  return unused + static_cast<int64_t>(reserved - used);
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
  if (bytes > device_bytes_) out_of_memory(static_cast<int64_t>(bytes), free_bytes(), what);
  recording_.interrupt();
  bool captured = false;
  check(ask_captured(stream_, &captured), what);
  if (captured) {
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
  if (keeps_work_back()) {
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
  if (keeps_work_back()) return;
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
