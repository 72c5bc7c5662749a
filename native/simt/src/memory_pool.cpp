#include "memory_pool.h"

#include <set>

#include "host_thread.h"
#include "machine.h"
#include "stream.h"

struct CUmemPoolHandle_st {
  std::multiset<std::size_t> idle;  // sizes of blocks
  std::size_t used = 0, reserved = 0, used_high = 0, reserved_high = 0;
  unsigned long long threshold = 0;
  bool destroyed = false;  // but not all of its memory is free yet

  void trim(std::size_t keep) {
    while (reserved > keep && !idle.empty()) {
      const auto largest = std::prev(idle.end());
      reserved -= *largest;
      idle.erase(largest);
    }
  }
};

namespace simt {

namespace {

constexpr std::size_t kBlock = 512,
                      kReserve = 2 << 20;  // units of what is taken and of what is reserved

std::set<cudaMemPool_t>& pools() {
  static auto* all =
      new std::set<cudaMemPool_t>{new CUmemPoolHandle_st};  // the first is the default
  return *all;
}

std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

}  // namespace

cudaMemPool_t default_pool() {
  static const cudaMemPool_t pool = *pools().begin();
  return pool;
}

bool is_pool(cudaMemPool_t pool) {
  return pools().count(pool) != 0 && !pool->destroyed;
}

std::size_t pool_take(cudaMemPool_t pool, std::size_t bytes, std::size_t device_free) {
  if (bytes > machine.options.memory_bytes) return 0;
  const std::size_t block = round_up(bytes, kBlock);
  const auto found = pool->idle.lower_bound(block);
  std::size_t whole = 0;
  if (found != pool->idle.end()) {
    whole = *found;
    pool->idle.erase(found);
  } else {
    whole = round_up(block, kReserve);
    if (whole > device_free) return 0;
    pool->reserved += whole;
  }
  if (whole > block) pool->idle.insert(whole - block);
  pool->used += block;
  pool->used_high = std::max(pool->used_high, pool->used);
  pool->reserved_high = std::max(pool->reserved_high, pool->reserved);
  return block;
}

void pool_give(cudaMemPool_t pool, std::size_t block) {
  pool->used -= block;
  pool->idle.insert(block);
  if (!pool->destroyed || pool->used != 0) return;
  pools().erase(pool);
  delete pool;
}

std::size_t pools_reserved() {
  std::size_t bytes = 0;
  for (cudaMemPool_t pool : pools()) bytes += pool->reserved;
  return bytes;
}

void pools_trim(std::size_t keep) {
  for (cudaMemPool_t pool : pools()) pool->trim(keep);
}

void pools_release() {
  for (cudaMemPool_t pool : pools()) pool->trim(pool->threshold);
}

}  // namespace simt

using simt::machine;
using simt::record;
using Lock = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t* pool, int device) {
  const Lock lock(machine.mutex);
  if (pool == nullptr) return record(cudaErrorInvalidValue);
  if (device < 0 || device >= machine.options.device_count) return record(cudaErrorInvalidDevice);
  *pool = simt::default_pool();
  return cudaSuccess;
}

cudaError_t cudaMemPoolCreate(cudaMemPool_t* pool, const cudaMemPoolProps* properties) {
  const Lock lock(machine.mutex);
  if (pool == nullptr || properties == nullptr) return record(cudaErrorInvalidValue);
  if (!machine.options.memory_pools) return record(cudaErrorNotSupported);
  if (properties->allocType != cudaMemAllocationTypePinned ||
      properties->location.type != cudaMemLocationTypeDevice || properties->location.id < 0 ||
      properties->location.id >= machine.options.device_count)
    return record(cudaErrorInvalidValue);
  if (const cudaError_t status = simt::use_context()) return record(status);
  simt::default_pool();
  *pool = new CUmemPoolHandle_st;
  simt::pools().insert(*pool);
  return cudaSuccess;
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
  const Lock lock(machine.mutex);
  if (!simt::is_pool(pool) || pool == simt::default_pool()) return record(cudaErrorInvalidValue);
  pool->trim(0);
  pool->threshold = 0;
  pool->destroyed = true;
  if (pool->used != 0) return cudaSuccess;  // goes with the last of its memory
  simt::pools().erase(pool);
  delete pool;
  return cudaSuccess;
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  const Lock lock(machine.mutex);
  if (!simt::is_pool(pool) || value == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = simt::refuse_unsafe()) return record(status);
  if (attribute == cudaMemPoolAttrReleaseThreshold)
    std::memcpy(&pool->threshold, value, sizeof pool->threshold);
  return cudaSuccess;
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, cudaMemPoolAttr attribute, void* value) {
  const Lock lock(machine.mutex);
  if (!simt::is_pool(pool) || value == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = simt::refuse_unsafe()) return record(status);
  if (attribute < cudaMemPoolAttrReleaseThreshold) {  // three switches: ints, and on by default
    const int on = 1;
    std::memcpy(value, &on, sizeof on);
    return cudaSuccess;
  }
  unsigned long long answer = 0;
  switch (attribute) {
    case cudaMemPoolAttrReleaseThreshold:
      answer = pool->threshold;
      break;
    case cudaMemPoolAttrReservedMemCurrent:
      answer = pool->reserved;
      break;
    case cudaMemPoolAttrReservedMemHigh:
      answer = pool->reserved_high;
      break;
    case cudaMemPoolAttrUsedMemCurrent:
      answer = pool->used;
      break;
    case cudaMemPoolAttrUsedMemHigh:
      answer = pool->used_high;
      break;
    default:
      return record(cudaErrorInvalidValue);
  }
  std::memcpy(value, &answer, sizeof answer);
  return cudaSuccess;
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, std::size_t bytes_to_keep) {
  const Lock lock(machine.mutex);
  if (!simt::is_pool(pool)) return record(cudaErrorInvalidValue);
  pool->trim(bytes_to_keep);
  return cudaSuccess;
}
