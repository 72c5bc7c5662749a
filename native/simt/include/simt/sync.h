// CUDA's barriers, votes, shuffles and fences (CUDA C++ Programming Guide, "Synchronization functions",
// "Warp vote / match / reduce / shuffle functions"). Stricter than the hardware on purpose: a thread
// that has left the kernel may not be waited for, and threads that meet in one operation must have
// called it from the same line.
#pragma once

#include "simt/engine.h"

inline void __syncthreads(simt::Where w = simt::Where::here()) {
  simt::block_barrier(0, simt::Vote::kNone, w);
}
inline int __syncthreads_count(int predicate, simt::Where w = simt::Where::here()) {
  return simt::block_barrier(predicate, simt::Vote::kCount, w);
}
inline int __syncthreads_and(int predicate, simt::Where w = simt::Where::here()) {
  return simt::block_barrier(predicate, simt::Vote::kAnd, w);
}
inline int __syncthreads_or(int predicate, simt::Where w = simt::Where::here()) {
  return simt::block_barrier(predicate, simt::Vote::kOr, w);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, simt::Where w = simt::Where::here()) {
  simt::sync_warp(mask, w);
}

inline void __threadfence() {
  simt::thread_fence();
}
inline void __threadfence_block() {
  simt::thread_fence();
}
inline void __threadfence_system() {
  simt::thread_fence();
}
inline void __nanosleep(unsigned, simt::Where w = simt::Where::here()) {
  simt::yield(w);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Where w = simt::Where::here()) {
  return simt::ballot(mask, predicate != 0, w);
}
inline int __any_sync(unsigned mask, int predicate, simt::Where w = simt::Where::here()) {
  return simt::ballot(mask, predicate != 0, w) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Where w = simt::Where::here()) {
  return simt::ballot(mask, predicate == 0, w) == 0;
}

namespace simt {

// Warp operations move registers: the engine sees plain bits.
template <class T>
std::uint64_t to_bits(T value) {
  static_assert(
      std::is_trivially_copyable<T>::value && (sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8),
      "a warp operation takes 16-, 32- or 64-bit values");
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  return bits;
}
template <class T>
T from_bits(std::uint64_t bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof value);
  return value;
}

inline int checked_width(int width, Where w) {
  if (width < 1 || width > 32 || (width & (width - 1)) != 0)
    fail("%s:%d shuffle of width %d, expected a power of two up to 32", w.file, w.line, width);
  return width;
}

}  // namespace simt

// The lane to read from follows the Programming Guide: a source outside the segment of `width` lanes
// leaves the own value, except for __shfl_sync, which takes it modulo the width.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              simt::Where w = simt::Where::here()) {
  const int own = static_cast<int>(simt::lane()), segment = -simt::checked_width(width, w);
  return simt::from_bits<T>(
      simt::shuffle(mask, simt::to_bits(value), (own & segment) | (source & (width - 1)), w));
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 simt::Where w = simt::Where::here()) {
  const int own = static_cast<int>(simt::lane()), segment = -simt::checked_width(width, w);
  const int source = own - static_cast<int>(delta);
  return simt::from_bits<T>(
      simt::shuffle(mask, simt::to_bits(value), source < (own & segment) ? own : source, w));
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   simt::Where w = simt::Where::here()) {
  const int own = static_cast<int>(simt::lane()), segment = -simt::checked_width(width, w);
  const int source = own + static_cast<int>(delta);
  return simt::from_bits<T>(
      simt::shuffle(mask, simt::to_bits(value), source > (own | ~segment) ? own : source, w));
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  simt::Where w = simt::Where::here()) {
  const int own = static_cast<int>(simt::lane()), segment = -simt::checked_width(width, w);
  const int source = own ^ lane_mask;
  return simt::from_bits<T>(
      simt::shuffle(mask, simt::to_bits(value), source > (own | ~segment) ? own : source, w));
}

template <class T>
unsigned __match_any_sync(unsigned mask, T value, simt::Where w = simt::Where::here()) {
  return simt::match_any(mask, simt::to_bits(value), w);
}
template <class T>
unsigned __match_all_sync(unsigned mask, T value, int* all, simt::Where w = simt::Where::here()) {
  const unsigned result = simt::match_all(mask, simt::to_bits(value), w);
  *all = result != 0;
  return result;
}

// redux.sync: 32-bit integers only, sm_80 and later (sm_75 has to shuffle).
#define SIMT_REDUCE(name, unsigned_kind, signed_kind)                                        \
  inline unsigned name(unsigned mask, unsigned value, simt::Where w = simt::Where::here()) { \
    return simt::reduce(mask, value, simt::Reduction::unsigned_kind, w);                     \
  }                                                                                          \
  inline int name(unsigned mask, int value, simt::Where w = simt::Where::here()) {           \
    return static_cast<int>(                                                                 \
        simt::reduce(mask, static_cast<unsigned>(value), simt::Reduction::signed_kind, w));  \
  }
SIMT_REDUCE(__reduce_add_sync, kAdd, kAdd)
SIMT_REDUCE(__reduce_min_sync, kMin, kMinSigned)
SIMT_REDUCE(__reduce_max_sync, kMax, kMaxSigned)
#undef SIMT_REDUCE
inline unsigned __reduce_and_sync(unsigned mask, unsigned value,
                                  simt::Where w = simt::Where::here()) {
  return simt::reduce(mask, value, simt::Reduction::kAnd, w);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned value,
                                 simt::Where w = simt::Where::here()) {
  return simt::reduce(mask, value, simt::Reduction::kOr, w);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned value,
                                  simt::Where w = simt::Where::here()) {
  return simt::reduce(mask, value, simt::Reduction::kXor, w);
}
