// For libraries that work on the device without being compiled for this machine: host code that takes the place of
// their kernels (native/simt/cublaslt).
#pragma once

#include <functional>
#include <vector>

#include "simt/runtime_api.h"

namespace simt {

struct Range {
  const void* p;
  std::size_t bytes;
  bool written;
};

struct HostWork {
  std::vector<Range> ranges;  // of device memory, which run() may touch
  std::function<void()> run;
};

}  // namespace simt

// Runs the work in the stream's order. cudaErrorIllegalAddress where a range leaves device memory,
// cudaErrorDeviceUninitialized where the thread has no context.
// extern "C": found by its name, in the program or in the plugin that has the machine in it.
extern "C" __attribute__((visibility("default"))) cudaError_t simt_host_work(
    cudaStream_t stream, const simt::HostWork& work);

// What a library calls before it allocates and loads for itself: cudaErrorDeviceUninitialized where the thread has no context;
// cudaErrorStreamCaptureUnsupported, and the capture is spoilt, beside a capture that does not allow it to the thread.
extern "C" __attribute__((visibility("default"))) cudaError_t simt_host_setup();

// cudaDeviceSynchronize.
extern "C" __attribute__((visibility("default"))) cudaError_t simt_host_synchronize();

// The device of the thread's context; -1: it has none.
extern "C" __attribute__((visibility("default"))) int simt_host_device();
