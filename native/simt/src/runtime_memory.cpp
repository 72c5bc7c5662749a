// cudaMalloc to cudaMemset. Pageable copies synchronise as the CUDA runtime documents ("API
// synchronization behavior"): to the device they read the host's memory before they return (unless the device reads pageable
// memory by itself, Options::pageable_access), to the host they return when the data is there. Pinned copies are asynchronous.
#include <cstdio>
#include <list>
#include <memory>

#include "device_memory.h"
#include "host_thread.h"
#include "machine.h"
#include "memory_pool.h"
#include "shadow.h"
#include "simt/host_work.h"
#include "stream.h"

namespace {

using Lock = std::lock_guard<std::recursive_mutex>;
using simt::machine;
using simt::MemoryKind;
using simt::record;
namespace shadow = simt::shadow;

cudaError_t device_state() {
  if (const cudaError_t status = simt::use_context()) return status;
  return machine.failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

bool on_device(MemoryKind kind) {
  return kind == MemoryKind::kDevice;
}

cudaError_t refuse(const char* what, const void* p, std::size_t bytes) {
  if (machine.options.print_failures)
    std::fprintf(stderr, "simt: %s of %zu bytes: %s\n", what, bytes,
                 simt::describe_address(p).c_str());
  return cudaErrorInvalidValue;
}

cudaError_t check_copy(const void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const MemoryKind to_kind = simt::memory_kind(to, bytes),
                   from_kind = simt::memory_kind(from, bytes);
  if (to_kind == MemoryKind::kOutside) return refuse("copy to", to, bytes);
  if (from_kind == MemoryKind::kOutside) return refuse("copy from", from, bytes);
  const bool to_device = kind == cudaMemcpyDefault
                             ? on_device(to_kind)
                             : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDefault
                               ? on_device(from_kind)
                               : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if (to_device != on_device(to_kind)) return refuse("copy in the wrong direction to", to, bytes);
  if (from_device != on_device(from_kind))
    return refuse("copy in the wrong direction from", from, bytes);
  return cudaSuccess;
}

struct Rectangle {
  unsigned char* to;
  std::size_t to_pitch;
  const unsigned char* from;
  std::size_t from_pitch, width, height;
};

cudaError_t copy_now(const Rectangle& r) {
  simt::trace(simt::format("copy of %zu bytes", r.width * r.height));
  const simt::HostAccess to(r.to), from(r.from);
  for (std::size_t i = 0; i < r.height; i++) {
    unsigned char* row_to = r.to + i * r.to_pitch;
    const unsigned char* row_from = r.from + i * r.from_pitch;
    std::memmove(row_to, row_from, r.width);
    shadow::host_copied(row_to, row_from, r.width);
  }
  return cudaSuccess;
}

// Work that was right when it was asked for, on memory that is gone when it is done.
cudaError_t stale(const char* what) {
  simt::report(simt::format("%s of memory that is gone by the time it is done", what));
  return cudaErrorIllegalAddress;
}

cudaError_t copy_async(const Rectangle& r, cudaMemcpyKind kind, cudaStream_t stream) {
  if (const cudaError_t state = device_state()) return state;
  if (r.width == 0 || r.height == 0) return cudaSuccess;
  const std::size_t to_bytes = (r.height - 1) * r.to_pitch + r.width;
  const std::size_t from_bytes = (r.height - 1) * r.from_pitch + r.width;
  if (const cudaError_t status = check_copy(r.to, r.from, to_bytes, kind)) return status;
  if (const cudaError_t status = check_copy(r.to, r.from, from_bytes, kind)) return status;
  if (!simt::is_captured(stream)) {
    if (simt::memory_kind(r.to, 1) == MemoryKind::kPageable) {
      if (const cudaError_t status = simt::finish(stream)) return status;
      return copy_now(r);
    }
    if (simt::memory_kind(r.from, 1) == MemoryKind::kPageable && !machine.options.pageable_access) {
      const std::shared_ptr<std::vector<unsigned char>> staged(
          new std::vector<unsigned char>(r.from, r.from + from_bytes));
      return simt::submit(stream, simt::Job::kCopy, [r, staged] {
        Rectangle copy = r;
        copy.from = staged->data();
        return copy_now(copy);
      });
    }
  }
  // The host's memory is read and written when the work is done: in a graph, at each launch. What may not
  // change there is where from and to, and the number of dimensions.
  const int places = (simt::memory_kind(r.to, 1) == MemoryKind::kDevice ? 1 : 0) |
                     (simt::memory_kind(r.from, 1) == MemoryKind::kDevice ? 2 : 0);
  return simt::submit(stream, {simt::Job::kCopy, places | (r.height > 1 ? 4 : 0)},
                      [r, kind, to_bytes, from_bytes] {
                        if (check_copy(r.to, r.from, to_bytes, kind) != cudaSuccess ||
                            check_copy(r.to, r.from, from_bytes, kind) != cudaSuccess)
                          return stale("copy");
                        return copy_now(r);
                      });
}

// cudaFree and cudaFreeHost synchronise with the device, but for streams under capture.
cudaError_t free_at_once(void* p, simt::Space space) {
  if (const cudaError_t status = simt::refuse_unsafe()) return status;
  const cudaError_t status = simt::finish_uncaptured();
  const cudaError_t freed = simt::free_memory(p, space);
  return status != cudaSuccess ? status : freed;
}

Rectangle line(void* to, const void* from, std::size_t bytes) {
  return {static_cast<unsigned char*>(to),
          bytes,
          static_cast<const unsigned char*>(from),
          bytes,
          bytes,
          1};
}

}  // namespace

namespace simt {

cudaError_t allocate(void** p, std::size_t bytes, Space space, Where where) {
  const Lock lock(machine.mutex);
  if (p == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t state = device_state()) return record(state);
  if (const cudaError_t status = refuse_unsafe()) return record(status);
  return record(allocate_memory(p, bytes, space, nullptr, where));
}

cudaError_t allocate_async(void** p, std::size_t bytes, cudaMemPool_t pool, cudaStream_t stream,
                           Where where) {
  const Lock lock(machine.mutex);
  if (p == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t state = device_state()) return record(state);
  if (pool == nullptr) pool = default_pool();
  if (!is_pool(pool)) return record(cudaErrorInvalidValue);
  if (is_captured(stream))
    return record(cudaErrorNotSupported);  // memory nodes of graphs are not emulated
  if (const cudaError_t status = submit(stream, Job::kOther, [] { return cudaSuccess; }))
    return record(status);
  return record(allocate_memory(p, bytes, Space::kDevice, pool, where));
}

cudaError_t copy_symbol(void* to, std::size_t size, const void* from, std::size_t count,
                        std::size_t offset) {
  const Lock lock(machine.mutex);
  if (const cudaError_t state = device_state()) return record(state);
  if (offset > size || count > size - offset) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = refuse_unsafe()) return record(status);
  if (const cudaError_t status = finish_uncaptured()) return record(status);
  std::memcpy(static_cast<unsigned char*>(to) + offset, from, count);
  return cudaSuccess;
}

}  // namespace simt

cudaError_t cudaFree(void* p) {
  const Lock lock(machine.mutex);
  return record(free_at_once(p, simt::Space::kDevice));
}

cudaError_t cudaFreeHost(void* p) {
  const Lock lock(machine.mutex);
  return record(free_at_once(p, simt::Space::kPinned));
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  const Lock lock(machine.mutex);
  if (simt::is_captured(stream)) return record(cudaErrorNotSupported);
  if (const cudaError_t status = simt::promise_free(p)) return record(status);
  if (!machine.failure.empty()) {  // what the stream would still do does not happen any more
    simt::free_memory(p, simt::Space::kDevice);
    return record(cudaErrorLaunchFailure);
  }
  return record(simt::submit(stream, simt::Job::kOther,
                             [p] { return simt::free_memory(p, simt::Space::kDevice); }));
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const Lock lock(machine.mutex);
  if (const cudaError_t status = simt::refuse_wait()) return record(status);
  if (const cudaError_t status = simt::refuse_unsafe()) return record(status);
  return record(copy_async(line(to, from, bytes), kind, nullptr));
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(machine.mutex);
  return record(copy_async(line(to, from, bytes), kind, stream));
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  const Lock lock(machine.mutex);
  if (width > to_pitch || width > from_pitch) return record(cudaErrorInvalidValue);
  return record(copy_async({static_cast<unsigned char*>(to), to_pitch,
                            static_cast<const unsigned char*>(from), from_pitch, width, height},
                           kind, stream));
}

cudaError_t cudaMemsetAsync(void* p, int value, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(machine.mutex);
  if (const cudaError_t state = device_state()) return record(state);
  if (bytes == 0) return cudaSuccess;
  if (simt::memory_kind(p, bytes) != MemoryKind::kDevice) return record(refuse("memset", p, bytes));
  return record(simt::submit(stream, simt::Job::kFill, [p, value, bytes] {
    if (simt::memory_kind(p, bytes) != MemoryKind::kDevice) return stale("memset");
    simt::trace(simt::format("fill of %zu bytes", bytes));
    const simt::HostAccess access(p);
    std::memset(p, value, bytes);
    shadow::host_wrote(p, bytes);
    return cudaSuccess;
  }));
}

cudaError_t cudaMemset(void* p, int value, std::size_t bytes) {
  const Lock lock(machine.mutex);
  if (const cudaError_t status = simt::refuse_unsafe()) return record(status);
  return cudaMemsetAsync(p, value, bytes, nullptr);
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* p) {
  const Lock lock(machine.mutex);
  if (attributes == nullptr) return record(cudaErrorInvalidValue);
  const MemoryKind kind = simt::memory_kind(p, 0);
  void* address = const_cast<void*>(p);
  *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, address};
  if (kind == MemoryKind::kDevice) *attributes = {cudaMemoryTypeDevice, 0, address, nullptr};
  if (kind == MemoryKind::kPinned) *attributes = {cudaMemoryTypeHost, 0, address, address};
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const Lock lock(machine.mutex);
  if (free == nullptr || total == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t state = device_state()) return record(state);
  *total = machine.options.memory_bytes;
  *free = simt::device_bytes_free();
  return cudaSuccess;
}

extern "C" cudaError_t simt_host_work(cudaStream_t stream, const simt::HostWork& work) {
  const Lock lock(machine.mutex);
  if (simt::current_context() == nullptr) return record(cudaErrorDeviceUninitialized);
  for (const simt::Range& range : work.ranges) {
    if (simt::memory_kind(range.p, range.bytes) == MemoryKind::kDevice) continue;
    refuse("host work on memory", range.p, range.bytes);
    return record(cudaErrorIllegalAddress);
  }
  return record(simt::submit(stream, simt::Job::kKernel, [work] {
    for (const simt::Range& range : work.ranges)
      if (simt::memory_kind(range.p, range.bytes) != MemoryKind::kDevice) return stale("host work");
    simt::trace("work of a library");
    std::list<simt::HostAccess> opened;
    for (const simt::Range& range : work.ranges) opened.emplace_back(range.p);
    work.run();
    for (const simt::Range& range : work.ranges) {
      if (range.written) shadow::host_wrote(range.p, range.bytes);
    }
    return cudaSuccess;
  }));
}

extern "C" cudaError_t simt_host_setup() {
  const Lock lock(machine.mutex);
  if (simt::current_context() == nullptr) return record(cudaErrorDeviceUninitialized);
  return record(simt::refuse_unsafe());
}

extern "C" cudaError_t simt_host_synchronize() {
  return cudaDeviceSynchronize();
}
