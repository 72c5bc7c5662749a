// The device memory of one context: what tt_alloc hands out and the workspace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "device.h"

namespace tt::cuda {

struct Device;
class Recording;

/// Memory taken and given back in the order of one stream, so that giving back waits for nobody. What is given back
/// stays in a pool of its own until trim(). Where the device has no pools: cudaMalloc and cudaFree, which wait.
///
/// Memory given back may be handed out again as soon as the stream's work before that is done. Whoever uses it in
/// another stream, or through another context, has to be done (or be waited for by this stream) before.
class MemoryPool {
 public:
  MemoryPool(const Device& device, cudaStream_t stream, Recording& recording);
  /// The stream's work is done. What was not given back by then goes when it is.
  ~MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;

  /// bytes >= 1, 256-byte aligned, not zeroed. Interrupts a recording: what a graph takes would be the graph's. Throws
  /// TT_OUT_OF_MEMORY, after idle memory did not help either; TT_UNSUPPORTED while the stream's owner captures it. More than the
  /// device has is refused before anything else is done: it is how to ask for what is free.
  /// what: e.g. "workspace".
  void* take(size_t bytes, const char* what);

  /// Memory of any context of the device. In a recording and while the stream is captured it is kept until later.
  cudaError_t give_back(void* memory) noexcept;

  /// Waits for the stream and gives idle memory to the device. Nothing in a recording and while the stream is captured.
  void trim() noexcept;

  /// Bytes that the device lends to the pool, in use or idle; -1 without a pool.
  int64_t reserved() const;

 private:
  bool keeps_work_back() const noexcept;
  int64_t free_bytes() const;
  cudaError_t try_take(size_t bytes, void** memory) noexcept;
  void give_back_postponed() noexcept;

  cudaStream_t stream_;
  Recording& recording_;
  size_t device_bytes_;
  cudaMemPool_t pool_ = nullptr;  // NULL: the device has none
  std::vector<void*> postponed_;  // given back during a recording or capture
};

}  // namespace tt::cuda
