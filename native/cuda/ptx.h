// The PTX instructions that kernels use, one function each; the CPU run has its own (simt/ptx.h) of the
// same names, so a new one is added in both. Fragment layouts: PTX ISA 8.4, 9.7.13.4, and the comments in
// native/simt/src/matrix.cpp. With lane l, g = l / 4 and t = l % 4, 32-bit registers hold two 16-bit
// elements, the lower column in the low half:
//   m16n8k16  a[0] (row g, cols 2t 2t+1)  a[1] (row g+8)  a[2] (row g, cols 2t+8 ..)  a[3] (row g+8, ..)
//             b[0] (rows 2t 2t+1, col g)  b[1] (rows 2t+8 2t+9, col g)
//   m16n8k8   16-bit: a[0] a[1], b[0] of the above.  tf32: a[0] (g, t) a[1] (g+8, t) a[2] (g, t+4)
//             a[3] (g+8, t+4); b[0] (t, g) b[1] (t+4, g)
//   all       d[0] d[1] (row g, cols 2t 2t+1)  d[2] d[3] (row g+8)
// Below the architecture an instruction needs, calling it traps: launchers choose kernels by the device.
#pragma once

#if TT_SIMT
#include "simt/ptx.h"
#else

namespace ptx {

#if TT_ARCH == 0 || TT_ARCH >= 800
#define TT_PTX_SM80(...) asm volatile(__VA_ARGS__)
#else
#define TT_PTX_SM80(...) __trap()
#endif

__device__ __forceinline__ unsigned lane_id() {
  unsigned lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// ---- ld.relaxed, st.relaxed: one word that blocks hand to one another. Orders nothing else.

__device__ __forceinline__ unsigned long long load_relaxed(const unsigned long long* p) {
  unsigned long long word;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];"
               : "=l"(word)
               : "l"(__cvta_generic_to_global(p))
               : "memory");
  return word;
}
__device__ __forceinline__ void store_relaxed(unsigned long long* p, unsigned long long word) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(__cvta_generic_to_global(p)), "l"(word)
               : "memory");
}

// ---- no instruction: what the value takes is done here, and not where it is used

__device__ __forceinline__ void settle_here(bool& value) {
  int word = value ? 1 : 0;
  asm volatile("" : "+r"(word)::"memory");
  value = word != 0;
}

// ---- redux.sync: over all lanes of a warp. By CUDA C++'s own word for it: of assembly the compiler does not know that
// all lanes have to meet in it, and might do it twice, in both branches before.

__device__ __forceinline__ int warp_min(int x) {
#if TT_ARCH == 0 || TT_ARCH >= 800
  return __reduce_min_sync(0xffffffffu, x);
#else
  __trap();
  return x;
#endif
}
__device__ __forceinline__ int warp_max(int x) {
#if TT_ARCH == 0 || TT_ARCH >= 800
  return __reduce_max_sync(0xffffffffu, x);
#else
  __trap();
  return x;
#endif
}

// ---- cp.async: copies kBytes from global to shared memory, zeros if not valid (the source must be a
// readable address even then). Done for the issuing thread after cp_async_wait, for others after a
// barrier that follows. On sm_75 a plain copy.

template <int kBytes>
__device__ __forceinline__ void cp_async(void* shared, const void* global, bool valid = true) {
  static_assert(kBytes == 4 || kBytes == 8 || kBytes == 16, "cp.async copies 4, 8 or 16 bytes");
#if TT_ARCH == 0 || TT_ARCH >= 800
  if constexpr (kBytes == 16) {  // past L1
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(shared)),
                 "l"(global), "n"(kBytes), "r"(valid ? kBytes : 0)
                 : "memory");
  }
#else
  using Word = typename std::conditional<
      kBytes == 16, uint4, typename std::conditional<kBytes == 8, uint2, uint32_t>::type>::type;
  *static_cast<Word*>(shared) = valid ? *static_cast<const Word*>(global) : Word{};
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#if TT_ARCH == 0 || TT_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits for all committed groups but the last kGroupsLeft.
template <int kGroupsLeft>
__device__ __forceinline__ void cp_async_wait() {
#if TT_ARCH == 0 || TT_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
#endif
}

__device__ __forceinline__ void cp_async_wait_all() {
#if TT_ARCH == 0 || TT_ARCH >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// ---- ldmatrix: 8x8 matrices of 16-bit elements from shared memory; lane 8 i + r gives the address of
// row r of matrix i, 16-byte aligned. Register i of lane l gets matrix i, row g, columns 2t and 2t+1;
// with _trans row 2t and 2t+1 of column g.

__device__ __forceinline__ void ldmatrix_x1(uint32_t& r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];"
               : "=r"(r)
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x1_trans(uint32_t& r, const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];"
               : "=r"(r)
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// ---- mma: d += a b for one warp, all 32 lanes, float accumulators.

#define TT_PTX_MMA(suffix, d, a0, a1, a2, a3, b0, b1)                                             \
  TT_PTX_SM80("mma.sync.aligned." suffix " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
              : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                    \
              : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1))

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4],
                                                  const uint32_t (&b)[2]) {
  TT_PTX_MMA("m16n8k16.row.col.f32.bf16.bf16.f32", d, a[0], a[1], a[2], a[3], b[0], b[1]);
}
__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
  TT_PTX_MMA("m16n8k16.row.col.f32.f16.f16.f32", d, a[0], a[1], a[2], a[3], b[0], b[1]);
}
// Operands from to_tf32: a plain float is cut to 10 fraction bits, not rounded.
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4],
                                                 const uint32_t (&b)[2]) {
  TT_PTX_MMA("m16n8k8.row.col.f32.tf32.tf32.f32", d, a[0], a[1], a[2], a[3], b[0], b[1]);
}
__device__ __forceinline__ void mma_m16n8k8_bf16(float (&d)[4], const uint32_t (&a)[2],
                                                 const uint32_t (&b)[1]) {
  TT_PTX_SM80(
      "mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}
// The one tensor instruction here that sm_75 has too.
__device__ __forceinline__ void mma_m16n8k8_f16(float (&d)[4], const uint32_t (&a)[2],
                                                const uint32_t (&b)[1]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(b[0]));
}
#undef TT_PTX_MMA

// ---- named barriers: id 1 to 15 (0 is __syncthreads); `threads`, a multiple of 32, counts all that sync
// or arrive. Whole warps only.

__device__ __forceinline__ void bar_sync(unsigned id, unsigned threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void bar_arrive(unsigned id, unsigned threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- arithmetic: relative error about 2^-22 (exp2), absolute 2^-22 near 1 (log2), 1 ulp (rcp);
// subnormal operands and results are zeros.

__device__ __forceinline__ float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float log2_approx(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
__device__ __forceinline__ float rcp_approx(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// Round to tf32 (10 fraction bits), ties away from zero; the result is the mma operand.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#if TT_ARCH == 0 || TT_ARCH >= 800
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
#else
  return (__float_as_uint(x) + 0x1000u) & 0xffffe000u;
#endif
}

#undef TT_PTX_SM80

}  // namespace ptx

#endif

namespace ptx {

// Two floats as the two 16-bit halves of an mma register, `low` in the lower half.
__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}
__device__ __forceinline__ uint32_t pack_f16(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

}  // namespace ptx
