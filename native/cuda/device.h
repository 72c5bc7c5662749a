// The one header that every CUDA source of Twintail includes. The same source is compiled by nvcc for a
// GPU and, with TT_SIMT, by a plain C++ compiler for the CPU run of native/simt.
//
//   TT_SIMT      1 in the CPU run, else 0
//   TT_ARCH      compute capability times 10 in a device pass (800 for sm_80), 0 in nvcc's host pass;
//                in the CPU run TT_SIMT_ARCH, 800 unless the build says otherwise
//   TT_SM90A     1 only in the sm_90a device pass: wgmma, TMA, setmaxnreg. Never in the CPU run.
//   TT_SHARED(type, name, [N][M])    static shared memory, 16-byte aligned; an empty last argument
//                                    declares a single variable: TT_SHARED(int, count, )
//   TT_DYN_SHARED(type, name)        type* name = the block's dynamic shared memory, 128-byte aligned on
//                                    a GPU, 16 in the CPU run
//   TT_LAUNCH(kernel, grid, block, shared_bytes, stream, args...) -> cudaError_t
//                                    kernel<<<...>>>(args...); more than 48 KB of dynamic shared memory is
//                                    asked for by itself. Write template kernels in parentheses:
//                                    TT_LAUNCH((gather<32, true>), ...)
//   ptx::...     the PTX instructions that CUDA C++ has no word for: see ptx.h
//
// In kernels: no bare __shared__, no <<<>>>, no __CUDA_ARCH__, no inline assembly outside ptx.h or a
// TT_SM90A guard, no cooperative groups. `#pragma unroll` is fine. A thread does not leave a kernel while
// others still synchronise, and __syncthreads or a warp operation is called from one line by all
// participants; the CPU run diagnoses both.
#pragma once

#ifndef TT_SIMT
#define TT_SIMT 0
#endif

#if TT_SIMT

#include "simt/simt.h"

#ifndef TT_SIMT_ARCH
#define TT_SIMT_ARCH 800
#endif
#define TT_ARCH TT_SIMT_ARCH
#define TT_SM90A 0
#define TT_SHARED(type, name, ...) SIMT_SHARED(type, name, __VA_ARGS__)
#define TT_DYN_SHARED(type, name) SIMT_DYN_SHARED(type, name)
#define TT_LAUNCH(kernel, grid_dim, block_dim, shared_bytes, stream, ...)                        \
  ::simt::launch_kernel(::simt::Grid{#kernel, ::simt::Where{__FILE__, __LINE__},                 \
                                     reinterpret_cast<const void*>(kernel), grid_dim, block_dim, \
                                     static_cast<std::size_t>(shared_bytes)},                    \
                        stream, kernel, __VA_ARGS__)

#else  // nvcc

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <utility>

#ifdef __CUDA_ARCH__
#define TT_ARCH __CUDA_ARCH__
#else
#define TT_ARCH 0
#endif
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define TT_SM90A 1
#else
#define TT_SM90A 0
#endif
#define TT_SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
// One symbol of one type for all kernels: CUDA merges all declarations of dynamic shared memory.
#define TT_DYN_SHARED(type, name)                                     \
  extern __shared__ __align__(128) unsigned char tt_dynamic_shared[]; \
  type* name = reinterpret_cast<type*>(tt_dynamic_shared)

namespace twintail_launch {

template <class... P, class... A>
inline cudaError_t launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
                          cudaStream_t stream, A&&... args) {
  static_assert(sizeof...(P) == sizeof...(A), "wrong number of kernel arguments");
  if (shared_bytes > 48 * 1024) {
    const cudaError_t status = cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shared_bytes));
    if (status != cudaSuccess) return status;
  }
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<P>(std::forward<A>(args))...);
  return cudaGetLastError();
}

}  // namespace twintail_launch

#define TT_LAUNCH(kernel, grid_dim, block_dim, shared_bytes, stream, ...) \
  ::twintail_launch::launch(kernel, grid_dim, block_dim, shared_bytes, stream, __VA_ARGS__)

#endif

#include "ptx.h"
