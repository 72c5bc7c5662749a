// The instructions of sm_90a for the CPU run of kernels, named as in native/cuda/loss/hopper_ptx.h: barriers in shared
// memory, bulk copies, products of a warpgroup (PTX ISA 8.4: 9.7.12.15 mbarrier, 9.7.8.24 cp.async.bulk,
// 9.7.14 wgmma). What they do to memory and registers is emulated, not when: copies and products are done at once.
#pragma once

#include "simt/simt.h"

namespace simt {
namespace hopper {

inline void barrier_init(std::uint64_t* barrier, int arrivals, Where w = Where::here()) {
  mbarrier_init(barrier, static_cast<unsigned>(arrivals), w);
}
inline void fence_barrier_init() {}
inline void barrier_expect(std::uint64_t* barrier, std::uint32_t bytes, Where w = Where::here()) {
  mbarrier_change(barrier, 1, bytes, w);
}
inline void barrier_arrive(std::uint64_t* barrier, Where w = Where::here()) {
  mbarrier_change(barrier, 1, 0, w);
}
inline void barrier_wait(std::uint64_t* barrier, std::uint32_t parity, Where w = Where::here()) {
  mbarrier_wait(barrier, parity, w);
}

inline void bulk_copy(void* to, const void* from, std::uint32_t bytes, std::uint64_t* barrier,
                      Where w = Where::here()) {
  if (bytes % 16 != 0 || reinterpret_cast<std::uintptr_t>(to) % 16 != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % 16 != 0)
    fail("%s:%d cp.async.bulk of %u bytes from %p to %p: not aligned to 16", w.file, w.line, bytes,
         from, to);
  if (!is_shared(to, bytes))
    fail("%s:%d cp.async.bulk to %p, which is not in shared memory", w.file, w.line, to);
  // In plain code of the kernel's own translation unit, so that sanitizers see the bytes move.
  auto* out = static_cast<std::uint32_t*>(to);
  const auto* in = static_cast<const std::uint32_t*>(from);
  for (std::uint32_t i = 0; i < bytes / 4; i++) out[i] = in[i];
  mbarrier_change(barrier, 0, -static_cast<std::int64_t>(bytes), w);
}

template <int kRegisters>
void more_registers() {}
template <int kRegisters>
void fewer_registers() {}

// ---- wgmma -----------------------------------------------------------------------------------------------

// 128-byte swizzle: address bits 4 to 6 are exchanged by exclusive or with bits 7 to 9.
struct Descriptor {
  const unsigned char* start;
  std::uint32_t leading, stride;

  float at(std::size_t offset) const {
    const auto address = reinterpret_cast<std::uintptr_t>(start) + offset;
    const auto* p = reinterpret_cast<const std::uint16_t*>(address ^ (address >> 7 & 7) << 4);
    return __uint_as_float(static_cast<std::uint32_t>(*p) << 16);
  }
  // k contiguous: groups of 8 rows, `stride` apart.
  float by_k(unsigned row, unsigned k) const {
    return at(row / 8 * stride + row % 8 * 128 + k * 2);
  }
  // n contiguous: blocks of 64, `leading` apart; groups of 8 along k, `stride` apart.
  float by_n(unsigned n, unsigned k) const {
    return at(n / 64 * leading + k / 8 * stride + k % 8 * 128 + n % 64 * 2);
  }
};
inline Descriptor descriptor(const void* p, std::uint32_t leading, std::uint32_t stride) {
  return Descriptor{static_cast<const unsigned char*>(p), leading, stride};
}

inline void products_begin() {
  __syncwarp();
}
inline void products_commit() {}
inline void products_wait() {
  __syncwarp();
}

// A warp has rows 16 w .. 16 w + 15 of the warpgroup's 64; d as of mma.m16n8k16, columns 8 j on.
inline void multiply(float (&d)[16][4], const Descriptor& a, const Descriptor& b, int add) {
  const unsigned lane = simt::lane(), first = thread_rank() / 32 % 4 * 16 + lane / 4;
  for (unsigned j = 0; j < 16; j++) {
    for (unsigned i = 0; i < 4; i++) {
      const unsigned row = first + i / 2 * 8, column = 8 * j + lane % 4 * 2 + i % 2;
      float sum = add != 0 ? d[j][i] : 0.0f;
      for (unsigned k = 0; k < 16; k++) sum += a.by_k(row, k) * b.by_k(column, k);
      d[j][i] = sum;
    }
  }
}

template <int kGroups>
void multiply_rows(float (&d)[kGroups][4], const std::uint32_t (&a)[4], const Descriptor& b) {
  const unsigned lane = simt::lane(), g = lane / 4;
  float rows[2][16];
  for (unsigned k = 0; k < 16; k++) {
    for (unsigned half = 0; half < 2; half++) {
      // Registers 0 and 2 hold row g, 1 and 3 row g + 8; columns 2t and 2t + 1 of 0 .. 7 or 8 .. 15.
      const std::uint32_t bits =
          __shfl_sync(0xffffffffu, a[k / 8 * 2 + half], static_cast<int>(g * 4 + k % 8 / 2));
      rows[half][k] = __uint_as_float(k % 2 == 0 ? bits << 16 : bits & 0xffff0000u);
    }
  }
  for (unsigned j = 0; j < kGroups; j++) {
    for (unsigned i = 0; i < 4; i++) {
      const unsigned column = 8 * j + lane % 4 * 2 + i % 2;
      float sum = d[j][i];
      for (unsigned k = 0; k < 16; k++) sum += rows[i / 2][k] * b.by_n(column, k);
      d[j][i] = sum;
    }
  }
}

}  // namespace hopper
}  // namespace simt
