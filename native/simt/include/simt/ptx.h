// The functions of native/cuda/ptx.h for the CPU run of kernels: same names, same meaning. Each states
// the PTX instruction that it stands for (PTX ISA 8.4).
#pragma once

#include "simt/atomics.h"
#include "simt/half.h"
#include "simt/memory.h"
#include "simt/sync.h"

namespace ptx {

using simt::Where;

inline unsigned lane_id() {
  return simt::lane();
}

// ---- ld.relaxed.gpu.global.u64 (9.7.8.8), st.relaxed.gpu.global.u64 (9.7.8.11): a thread that polls lets others run

inline unsigned long long load_relaxed(const unsigned long long* p, Where w = Where::here()) {
  return simt::atomic_update(
      const_cast<unsigned long long*>(p), [](unsigned long long word) { return word; }, w);
}
inline void store_relaxed(unsigned long long* p, unsigned long long word, Where w = Where::here()) {
  simt::atomic_update(
      p, [word](unsigned long long) { return word; }, w);
}

// ---- no instruction: for the compiler of a GPU's code

inline void settle_here(bool&) {}

// ---- redux.sync (9.7.12.12), over all lanes

inline int warp_min(int x, Where w = Where::here()) {
  return __reduce_min_sync(0xffffffffu, x, w);
}
inline int warp_max(int x, Where w = Where::here()) {
  return __reduce_max_sync(0xffffffffu, x, w);
}

// ---- cp.async (PTX ISA 9.7.8.22): the bytes arrive when the issuing thread waits, not before; until
// then the destination holds NaN. Other threads may read them only after a barrier as well.

template <int kBytes>
inline void cp_async(void* shared, const void* global, bool valid = true, Where w = Where::here()) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async copies 4, 8 or 16 bytes");
  const simt::AsyncCopy copy{shared, global, kBytes, valid ? kBytes : 0};
  simt::async_copy_check(copy, w);
  // Bytes move in plain code of the kernel's own translation unit, so that sanitizers see them move.
  unsigned char* to = static_cast<unsigned char*>(shared);
  for (int i = 0; i < kBytes; i++) to[i] = 0xff;
  simt::async_copy_start(copy);
}
inline void cp_async_commit() {
  simt::async_copy_commit();
}
template <int kGroupsLeft>
inline void cp_async_wait() {
  const std::size_t count = simt::async_copy_ready(kGroupsLeft);
  for (std::size_t i = 0; i < count; i++) {
    const simt::AsyncCopy copy = simt::async_copy_at(i);
    unsigned char* to = static_cast<unsigned char*>(copy.to);
    const unsigned char* from = static_cast<const unsigned char*>(copy.from);
    for (int k = 0; k < copy.bytes; k++) to[k] = k < copy.valid ? from[k] : 0;
  }
  simt::async_copy_done(count);
}
inline void cp_async_wait_all() {  // also takes what was never committed
  cp_async_commit();
  cp_async_wait<0>();
}

// ---- ldmatrix.sync.aligned.m8n8 (9.7.13.4.15): lane 8 i + r names row r (16 bytes) of matrix i.

namespace detail {
template <int kCount, bool kTransposed>
inline void ldmatrix(std::uint32_t* r, const void* row, Where w) {
  std::uint32_t own[4] = {0, 0, 0, 0};
  if (simt::lane() < 8u * kCount) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0)
      simt::fail("%s:%d ldmatrix: row at %p is not 16-byte aligned", w.file, w.line, row);
    if (!simt::is_shared(row, 16))
      simt::fail("%s:%d ldmatrix: row at %p is not in shared memory", w.file, w.line, row);
    std::memcpy(own, row, sizeof own);  // read by its own lane: race detectors see who reads
  }
  simt::ldmatrix(r, own, row, kCount, kTransposed, w);
}
}  // namespace detail
inline void ldmatrix_x1(std::uint32_t& r, const void* row, Where w = Where::here()) {
  detail::ldmatrix<1, false>(&r, row, w);
}
inline void ldmatrix_x2(std::uint32_t (&r)[2], const void* row, Where w = Where::here()) {
  detail::ldmatrix<2, false>(r, row, w);
}
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, Where w = Where::here()) {
  detail::ldmatrix<4, false>(r, row, w);
}
inline void ldmatrix_x1_trans(std::uint32_t& r, const void* row, Where w = Where::here()) {
  detail::ldmatrix<1, true>(&r, row, w);
}
inline void ldmatrix_x2_trans(std::uint32_t (&r)[2], const void* row, Where w = Where::here()) {
  detail::ldmatrix<2, true>(r, row, w);
}
inline void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row, Where w = Where::here()) {
  detail::ldmatrix<4, true>(r, row, w);
}

// ---- mma.sync.aligned (9.7.13.4.14): d += a b, float accumulators.

#define SIMT_MMA(name, k, type, registers_a, registers_b)                           \
  inline void name(float(&d)[4], const std::uint32_t(&a)[registers_a],              \
                   const std::uint32_t(&b)[registers_b], Where w = Where::here()) { \
    simt::mma(d, a, b, k, simt::MmaType::type, w);                                  \
  }
SIMT_MMA(mma_m16n8k16_bf16, 16, kBf16, 4, 2)
SIMT_MMA(mma_m16n8k16_f16, 16, kF16, 4, 2)
SIMT_MMA(mma_m16n8k8_bf16, 8, kBf16, 2, 1)
SIMT_MMA(mma_m16n8k8_f16, 8, kF16, 2, 1)
SIMT_MMA(mma_m16n8k8_tf32, 8, kTf32, 4, 2)
#undef SIMT_MMA

// ---- bar.sync, bar.arrive (9.7.12.1): `threads` counts all that arrive, a multiple of 32.

inline void bar_sync(unsigned id, unsigned threads, Where w = Where::here()) {
  simt::named_barrier_sync(id, threads, w);
}
inline void bar_arrive(unsigned id, unsigned threads, Where w = Where::here()) {
  simt::named_barrier_arrive(id, threads, w);
}

// ---- arithmetic

inline float exp2_approx(float x) {
  return simt::exp2_approx(x);
}  // ex2.approx.ftz.f32
inline float log2_approx(float x) {
  return simt::log2_approx(x);
}  // lg2.approx.ftz.f32
inline float rcp_approx(float x) {
  return simt::rcp_approx(x);
}  // rcp.approx.ftz.f32

// cvt.rna.tf32.f32: 10 fraction bits, ties away from zero.
inline std::uint32_t to_tf32(float x) {
  const std::uint32_t u = simt::bits_of(x);
  if ((u & 0x7f800000u) == 0x7f800000u) return (u & 0x7fffffu) != 0 ? 0x7fffffffu : u;
  return (u + 0x1000u) & 0xffffe000u;
}

}  // namespace ptx
