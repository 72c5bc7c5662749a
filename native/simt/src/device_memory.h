// Device and pinned memory behind the runtime API. Callers hold Machine::mutex.
#pragma once

#include "simt/runtime_api.h"

namespace simt {

// pool: whose memory it is, or NULL.
cudaError_t allocate_memory(void** p, std::size_t bytes, Space space, cudaMemPool_t pool,
                            Where where);
cudaError_t free_memory(void* p, Space space);
// Refuses what is not of a pool, or was already promised to a stream.
cudaError_t promise_free(void* p);
void free_all_memory();
std::size_t device_bytes_free();

enum class MemoryKind { kPageable, kPinned, kDevice, kOutside };  // kOutside: leaves its allocation
MemoryKind memory_kind(const void* p, std::size_t bytes);

// While it lives, the engine itself may touch the allocation around p.
class HostAccess {
 public:
  explicit HostAccess(const void* p);
  ~HostAccess();
  HostAccess(const HostAccess&) = delete;
  HostAccess& operator=(const HostAccess&) = delete;

 private:
  const void* opened_ = nullptr;
};

}  // namespace simt
