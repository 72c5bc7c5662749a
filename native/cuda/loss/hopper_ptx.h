// The instructions of sm_90a that hopper.cu uses: PTX ISA 8.4, "Asynchronous warpgroup level matrix instructions",
// "mbarrier", "cp.async.bulk". In that device pass and in the CPU run only.
#pragma once

#include "device.h"

#if TT_SIMT

#include "simt/hopper.h"

namespace tt::cuda::loss::hopper {
using namespace simt::hopper;
}

#elif TT_SM90A

namespace tt::cuda::loss::hopper {

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// ---- barriers that count arrivals and bytes ----------------------------------------------------------

__device__ __forceinline__ void barrier_init(uint64_t* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(arrivals)
               : "memory");
}
// What was initialised becomes visible to bulk copies.
__device__ __forceinline__ void fence_barrier_init() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
// Waits until the phase with this parity is complete.
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "WAIT:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra DONE;\n"
      "bra WAIT;\n"
      "DONE:\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// bytes: a multiple of 16, both ends 16-byte aligned. The barrier counts them.
__device__ __forceinline__ void bulk_copy(void* to, const void* from, uint32_t bytes,
                                          uint64_t* barrier) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(shared_address(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
      : "memory");
}

// Loads and stores of this thread so far come before bulk copies and products that are started in whatever follows in
// order, in this thread or another one: these reach shared memory by a proxy of their own (PTX ISA 8.4, 8.2.1 and 8.10.2).
__device__ __forceinline__ void fence_async_proxy() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

template <int kRegisters>
__device__ __forceinline__ void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// ---- products of a warpgroup ----------------------------------------------------------------------------

// Matrix descriptor: address, leading and stride byte offset (all in 16 bytes), swizzle of 128 bytes.
__device__ __forceinline__ uint64_t descriptor(const void* p, uint32_t leading, uint32_t stride) {
  return static_cast<uint64_t>((shared_address(p) & 0x3FFFFu) >> 4) |
         static_cast<uint64_t>(leading >> 4) << 16 | static_cast<uint64_t>(stride >> 4) << 32 |
         uint64_t{1} << 62;
}

// The same matrix so many bytes on: shared memory ends before the address's bits do, so the upper word stays (as in
// CUTLASS' GmmaDescriptor), and a 32-bit addition does.
__device__ __forceinline__ uint64_t advance(uint64_t descriptor, int bytes) {
  return (descriptor & 0xFFFFFFFF00000000u) |
         (static_cast<uint32_t>(descriptor) + static_cast<uint32_t>(bytes >> 4));
}

// Registers that products read or write are theirs from here on.
__device__ __forceinline__ void products_begin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void products_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Waits for all committed groups but the last kGroupsLeft.
template <int kGroupsLeft>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroupsLeft) : "memory");
}
// To a compiler the results of a product are there when it is issued, and its operands free. So each array of
// registers is named once more behind the wait for its product: nothing that uses it is moved before that. Likewise
// before products_begin(), which a compiler does not take for a use of registers: nothing that writes them is moved behind it.
template <int kRows>
__device__ __forceinline__ void settle(float (&d)[kRows][4]) {
#pragma unroll
  for (int j = 0; j < kRows; j++)
    asm volatile("" : "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])::"memory");
}
template <int kRows>
__device__ __forceinline__ void settle(uint32_t (&a)[kRows][4]) {
#pragma unroll
  for (int k = 0; k < kRows; k++)
    asm volatile("" : "+r"(a[k][0]), "+r"(a[k][1]), "+r"(a[k][2]), "+r"(a[k][3])::"memory");
}

#define TT_D4(d, j) "+f"(d[j][0]), "+f"(d[j][1]), "+f"(d[j][2]), "+f"(d[j][3])
#define TT_D16(d, j) TT_D4(d, j), TT_D4(d, j + 1), TT_D4(d, j + 2), TT_D4(d, j + 3)
#define TT_D32(d) TT_D16(d, 0), TT_D16(d, 4)
#define TT_D64(d) TT_D32(d), TT_D16(d, 8), TT_D16(d, 12)
#define TT_R32                                                                                 \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, " \
  "%20, "                                                                                      \
  "%21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define TT_R64                                                                                   \
  TT_R32                                                                                         \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
  "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"

// d[64 x 128] (+)= A[64 x 16] B[16 x 128]: both from shared memory, along k contiguous. add 0: d is overwritten.
__device__ __forceinline__ void multiply(float (&d)[16][4], uint64_t a, uint64_t b, int add) {
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "setp.ne.b32 p, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TT_R64
      "}, %64, %65, p, 1, 1, 0, 0;\n"
      "}\n"
      : TT_D64(d)
      : "l"(a), "l"(b), "r"(add));
}

// d[64 x 64] or [64 x 128] += A[64 x 16] B[16 x N]: A from registers, B's N contiguous.
__device__ __forceinline__ void multiply_rows(float (&d)[8][4], const uint32_t (&a)[4],
                                              uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" TT_R32
               "}, {%32, %33, %34, %35}, %36, 1, 1, 1, 1;\n"
               : TT_D32(d)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
__device__ __forceinline__ void multiply_rows(float (&d)[16][4], const uint32_t (&a)[4],
                                              uint64_t b) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {" TT_R64
               "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;\n"
               : TT_D64(d)
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#undef TT_D4
#undef TT_D16
#undef TT_D32
#undef TT_D64
#undef TT_R32
#undef TT_R64

}  // namespace tt::cuda::loss::hopper

#endif
