#include "host_thread.h"

#include <cstring>
#include <map>

#include "machine.h"
#include "simt/host_work.h"
#include "stream.h"

struct CUctx_st {
  int device;
};

namespace simt {

namespace {

using Lock = std::lock_guard<std::recursive_mutex>;

thread_local CUcontext current = nullptr;
thread_local int chosen_device = 0;  // which counts where no context is current
thread_local cudaError_t last_error = cudaSuccess;
thread_local cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;

bool is_device(int device) {
  return device >= 0 && device < machine.options.device_count;
}

CUcontext primary_context(int device) {
  static auto* contexts = new std::map<int, CUctx_st>;  // outlives static destructors
  return &contexts->emplace(device, CUctx_st{device}).first->second;
}

cudaError_t runtime_state() {
  if (machine.options.driver_version == 0) return cudaErrorInsufficientDriver;
  return machine.options.device_count > 0 ? cudaSuccess : cudaErrorNoDevice;
}

CUresult get_current(CUcontext* context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *context = current;
  return CUDA_SUCCESS;
}
CUresult set_current(CUcontext context) {
  current = context;
  return CUDA_SUCCESS;
}

}  // namespace

cudaError_t use_context() {
  if (const cudaError_t state = runtime_state()) return state;
  if (current == nullptr) current = primary_context(chosen_device);
  return cudaSuccess;
}

CUcontext foreign_context(int device) {
  static auto* contexts = new std::map<int, CUctx_st>;
  const Lock lock(machine.mutex);
  return &contexts->emplace(device, CUctx_st{device}).first->second;
}

CUcontext current_context() {
  return current;
}

cudaStreamCaptureMode capture_mode() {
  return mode;
}

cudaError_t record(cudaError_t status) {
  if (status != cudaSuccess && status != cudaErrorNotReady) last_error = status;
  return status;
}

}  // namespace simt

using simt::Lock;
using simt::machine;
using simt::record;

cudaError_t cudaGetLastError() {
  const Lock lock(machine.mutex);
  if (!machine.failure.empty()) return cudaErrorLaunchFailure;
  return std::exchange(simt::last_error, cudaSuccess);
}
cudaError_t cudaPeekAtLastError() {
  const Lock lock(machine.mutex);
  return machine.failure.empty() ? simt::last_error : cudaErrorLaunchFailure;
}

cudaError_t cudaGetDeviceCount(int* count) {
  const Lock lock(machine.mutex);
  if (count == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t state = simt::runtime_state()) {
    *count = 0;
    return record(state);
  }
  *count = machine.options.device_count;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  const Lock lock(machine.mutex);
  if (!simt::is_device(device)) return record(cudaErrorInvalidDevice);
  simt::chosen_device = device;
  simt::current = simt::primary_context(device);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  const Lock lock(machine.mutex);
  if (device == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t state = simt::runtime_state()) return record(state);
  *device = simt::current != nullptr ? simt::current->device : simt::chosen_device;
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* result) {
  const Lock lock(machine.mutex);
  if (symbol == nullptr || function == nullptr || flags != cudaEnableDefault)
    return record(cudaErrorInvalidValue);
  *function = nullptr;
  if (machine.options.driver_version == 0) return record(cudaErrorInsufficientDriver);
  if (std::strcmp(symbol, "cuCtxGetCurrent") == 0)
    *function = reinterpret_cast<void*>(&simt::get_current);
  if (std::strcmp(symbol, "cuCtxSetCurrent") == 0)
    *function = reinterpret_cast<void*>(&simt::set_current);
  if (result != nullptr)
    *result =
        *function != nullptr ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  if (mode == nullptr || *mode > cudaStreamCaptureModeRelaxed) return record(cudaErrorInvalidValue);
  std::swap(*mode, simt::mode);
  return cudaSuccess;
}

extern "C" int simt_host_device() {
  return simt::current != nullptr ? simt::current->device : -1;
}
