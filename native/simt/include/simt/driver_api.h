// What the runtime shares with the driver: contexts, of which every thread has one or none that is current, and the driver's
// functions, found by name as CUDA's runtime finds them.
#pragma once

#include "simt/engine.h"

#define CUDART_VERSION 12040

using CUcontext = struct CUctx_st*;
enum CUresult { CUDA_SUCCESS = 0, CUDA_ERROR_INVALID_VALUE = 1 };

enum cudaDriverEntryPointQueryResult {
  cudaDriverEntryPointSuccess = 0,
  cudaDriverEntryPointSymbolNotFound = 1,
  cudaDriverEntryPointVersionNotSufficent = 2
};
enum cudaGetDriverEntryPointFlags { cudaEnableDefault = 0 };

// cuCtxGetCurrent, cuCtxSetCurrent. Calls that need a context make the primary one of the thread's device current where there
// is none: all but those that ask for errors, versions, devices and their attributes.
cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* result = nullptr);

namespace simt {

// Somebody's own context of a device, as cuCtxCreate makes them, but not current. Kernels on streams of another context than
// the current one are refused.
CUcontext foreign_context(int device);
CUcontext current_context();  // of the thread; NULL: none

}  // namespace simt
