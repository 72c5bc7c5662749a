#include "current_device.h"

#include <cstring>

#include "context.h"

namespace tt::cuda {
namespace {

/// Sets function to one of the driver's.
template <class F>
void find(const char* name, F& function) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result = cudaDriverEntryPointSymbolNotFound;
#if CUDART_VERSION >= 12050  // the other is deprecated in 13
  // As it was in 12.0: asking for more than a driver has is an error.
  const cudaError_t status =
      cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result);
#else
  const cudaError_t status = cudaGetDriverEntryPoint(name, &found, cudaEnableDefault, &result);
#endif
  check(status, "looking for the driver's functions");
  if (result != cudaDriverEntryPointSuccess || found == nullptr)
    unsupported(format("the driver has no function %s", name));
  std::memcpy(&function, &found, sizeof found);
}

/// Found by the runtime: a driver that is linked would be needed to load this library.
struct Driver {
  int (*get_context)(CUctx_st** context) = nullptr;  // 0: success
  int (*set_context)(CUctx_st* context) = nullptr;

  Driver() {
    find("cuCtxGetCurrent", get_context);
    find("cuCtxSetCurrent", set_context);
  }
  static const Driver& get() {
    static const Driver driver;  // a failure is tried again at the next call
    return driver;
  }
};

}  // namespace

CurrentDevice::CurrentDevice(int device) {
  const Driver& driver = Driver::get();
  if (driver.get_context(&before_) != 0) before_ = nullptr;
  const cudaError_t chosen = cudaSetDevice(device);
  if (chosen != cudaSuccess) {
    driver.set_context(before_);
    check(chosen, "choosing the device");
  }
  cudaThreadExchangeStreamCaptureMode(&capture_mode_);
  cudaGetLastError();  // what a caller's own launch left behind is not ours to report
}

CurrentDevice::~CurrentDevice() {
  cudaThreadExchangeStreamCaptureMode(&capture_mode_);
  Driver::get().set_context(before_);
}

}  // namespace tt::cuda
