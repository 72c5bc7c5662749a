// The instructions of sm_90a for the CPU run of kernels, named as in native/cuda/loss/hopper_ptx.h: barriers in shared
// memory, bulk copies, products of a warpgroup (PTX ISA 8.4: 9.7.12.15 mbarrier, 9.7.8.24 cp.async.bulk,
// 9.7.14 wgmma). Bulk copies are done at once, products when the warpgroup waits for them: src/products.cpp.
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
  const AsyncProxy proxy;
  // In plain code of the kernel's own translation unit, so that sanitizers see the bytes move.
  auto* out = static_cast<std::uint32_t*>(to);
  const auto* in = static_cast<const std::uint32_t*>(from);
  for (std::uint32_t i = 0; i < bytes / 4; i++) out[i] = in[i];
  mbarrier_change(barrier, 0, -static_cast<std::int64_t>(bytes), w);
}

using simt::fence_async_proxy;

template <int kRegisters>
void more_registers() {}
template <int kRegisters>
void fewer_registers() {}

// ---- wgmma -----------------------------------------------------------------------------------------------

// 128-byte swizzle: address bits 4 to 6 are exchanged by exclusive or with bits 7 to 9.
inline float swizzled(const MatrixInShared& m, std::size_t offset) {
  const auto address = reinterpret_cast<std::uintptr_t>(m.start) + offset;
  const auto* p = reinterpret_cast<const std::uint16_t*>(address ^ (address >> 7 & 7) << 4);
  return __uint_as_float(static_cast<std::uint32_t>(*p) << 16);
}
// k contiguous: groups of 8 rows, `stride` apart.
inline float by_k(const MatrixInShared& m, unsigned row, unsigned k) {
  return swizzled(m, row / 8 * m.stride + row % 8 * 128 + k * 2);
}
// n contiguous: blocks of 64, `leading` apart; groups of 8 along k, `stride` apart.
inline float by_n(const MatrixInShared& m, unsigned n, unsigned k) {
  return swizzled(m, n / 64 * m.leading + k / 8 * m.stride + k % 8 * 128 + n % 64 * 2);
}
// With the base offset 0, which is all that kernels have here, the swizzle's pattern begins at a multiple of 1024 (PTX ISA
// 8.4, 9.7.14.5.1, matrix descriptor); offsets are kept in 14 bits, of 16 bytes each.
inline MatrixInShared descriptor(const void* p, std::uint32_t leading, std::uint32_t stride,
                                 Where w = Where::here()) {
  if (reinterpret_cast<std::uintptr_t>(p) % 1024 != 0)
    fail("%s:%d wgmma: a matrix with the 128-byte swizzle does not begin at a multiple of 1024",
         w.file, w.line);
  if (((leading | stride) & ~0x3FFF0u) != 0)
    fail("%s:%d wgmma: offsets %u and %u do not fit a matrix descriptor", w.file, w.line, leading,
         stride);
  return MatrixInShared{static_cast<const unsigned char*>(p), leading, stride};
}

inline MatrixInShared advance(const MatrixInShared& m, int bytes) {
  return MatrixInShared{m.start + bytes, m.leading, m.stride};
}

// A warp has rows 16 w .. 16 w + 15 of the warpgroup's 64; d as of mma.m16n8k16, columns 8 j on.
inline void do_product(const Product& p) {
  const AsyncProxy proxy;
  const unsigned lane = simt::lane(), g = lane / 4, first = thread_rank() / 32 % 4 * 16 + g;
  float rows[2][16];
  for (unsigned k = 0; k < 16; k++) {
    for (unsigned half = 0; half < 2; half++) {
      if (p.rows == nullptr) {
        rows[half][k] = by_k(p.a, first + half * 8, k);
        continue;
      }
      // Registers 0 and 2 hold row g, 1 and 3 row g + 8; columns 2t and 2t + 1 of 0 .. 7 or 8 .. 15.
      const std::uint32_t bits =
          __shfl_sync(0xffffffffu, p.rows[k / 8 * 2 + half], static_cast<int>(g * 4 + k % 8 / 2));
      rows[half][k] = __uint_as_float(k % 2 == 0 ? bits << 16 : bits & 0xffff0000u);
    }
  }
  const bool rows_in_shared = p.rows == nullptr, add = p.add;
  for (int j = 0; j < p.count / 4; j++) {
    float* d = p.d + 4 * j;
    for (unsigned i = 0; i < 2; i++) {
      const unsigned column = static_cast<unsigned>(8 * j) + lane % 4 * 2 + i;
      float b[16];
      for (unsigned k = 0; k < 16; k++)
        b[k] = rows_in_shared ? by_k(p.b, column, k) : by_n(p.b, column, k);
      for (unsigned half = 0; half < 2; half++) {
        d[2 * half + i] = tensor_core_sum(add ? d[2 * half + i] : 0.0f, rows[half], b, 16, 25);
      }
    }
  }
}

// Descriptors are read from registers that a warp has one of.
inline void check_uniform(const Product& p, Where w) {
  for (const MatrixInShared* m : {&p.a, &p.b}) {
    const auto start = reinterpret_cast<std::uintptr_t>(m->start);
    if (__shfl_sync(0xffffffffu, static_cast<unsigned long long>(start), 0) != start)
      fail("%s:%d wgmma: another matrix descriptor than that of the warp's lane 0", w.file, w.line);
  }
}

inline void products_begin() {
  __syncwarp();
  products_fence();
}
using simt::products_commit;
template <int kGroupsLeft>
void products_wait(Where w = Where::here()) {
  __syncwarp();
  const std::size_t count = products_ready(kGroupsLeft);
  for (std::size_t i = 0; i < count; i++) {
    const Product product = product_begin(i, w);
    check_uniform(product, w);
    do_product(product);
  }
  products_done(count);
}
template <class Registers>
void settle(Registers&) {}

inline void multiply(float (&d)[16][4], const MatrixInShared& a, const MatrixInShared& b, int add,
                     Where w = Where::here()) {
  product_start(Product{&d[0][0], 64, nullptr, a, b, add != 0}, w);
}
template <int kGroups>
void multiply_rows(float (&d)[kGroups][4], const std::uint32_t (&a)[4], const MatrixInShared& b,
                   Where w = Where::here()) {
  product_start(Product{&d[0][0], 4 * kGroups, a, {}, b, true}, w);
}

}  // namespace hopper
}  // namespace simt
