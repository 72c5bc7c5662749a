// Memory pools: how much of the device each holds, in use or idle. What is freed is not reused but unmapped
// like any other memory, so that its use is caught; only the numbers behave as if it were kept. Idle blocks
// are split, but never joined again, so that pools fragment. Callers hold Machine::mutex.
#pragma once

#include "simt/runtime_api.h"

namespace simt {

cudaMemPool_t default_pool();
bool is_pool(cudaMemPool_t pool);
// The size of the block that was taken for `bytes`, or 0 where the device's free memory does not suffice.
std::size_t pool_take(cudaMemPool_t pool, std::size_t bytes, std::size_t device_free);
void pool_give(cudaMemPool_t pool, std::size_t block);
std::size_t pools_reserved();       // of all pools
void pools_trim(std::size_t keep);  // each pool to so many bytes, as far as they are idle
void pools_release();               // at a synchronisation: what is above the pools' thresholds

}  // namespace simt
