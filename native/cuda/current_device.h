// The calling thread, lent to one device for as long as an op runs.
#pragma once

#include "device.h"

struct CUctx_st;  // the driver's CUcontext points to it

namespace tt::cuda {

/// Makes the device's primary context the thread's. What was there comes back at the end, be it none or somebody's own: by the
/// driver, since cudaSetDevice would make a context on the device before, which the host may never use. Whether the device is
/// the current one already is not asked: its number says nothing of the context. It is 0 on a thread that has none, and that of
/// a foreign context of the same GPU.
///
/// Meanwhile no capture of another stream forbids the thread to allocate or to ask a memory pool, which would spoil that
/// capture: it cannot hold work of ours. What the context's own stream must not do while it is captured, MemoryPool and CublasLt
/// ask for themselves.
class CurrentDevice {
 public:
  explicit CurrentDevice(int device);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  CUctx_st* before_ = nullptr;
  cudaStreamCaptureMode capture_mode_ =
      cudaStreamCaptureModeRelaxed;  // in between: the thread's own
};

}  // namespace tt::cuda
