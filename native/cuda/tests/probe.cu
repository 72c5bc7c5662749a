// What the tests call in a library that links the CUDA runtime statically: the runtime itself, and the
// values and host-side conversions of the toolkit's headers, to compare native/simt with.
#include <cstring>

#include "device.h"

#define PROBE extern "C" __attribute__((visibility("default")))

namespace {

__global__ void add_one(float* x) {
  x[threadIdx.x] += 1.0f;
}

struct Value {
  const char* name;
  long long value;
};
const Value kValues[] = {
#define X(name) {#name, static_cast<long long>(name)},
#include "api_values.inc"
#undef X
};

}  // namespace

// The number of devices; without one, 0 and the runtime's reason.
PROBE int probe_devices(char* reason, size_t reason_size) {
  int count = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  strncpy(reason, cudaGetErrorString(status), reason_size - 1);
  reason[reason_size - 1] = '\0';
  return status == cudaSuccess ? count : 0;
}

// True if a kernel ran and its result is right.
PROBE bool probe_kernel() {
  float host[32] = {}, *device = nullptr;
  if (cudaMalloc(&device, sizeof host) != cudaSuccess) return false;
  cudaMemset(device, 0, sizeof host);
  const cudaError_t launched = TT_LAUNCH(add_one, 1, 32, 0, nullptr, device);
  const cudaError_t copied = cudaMemcpy(host, device, sizeof host, cudaMemcpyDeviceToHost);
  cudaFree(device);
  return launched == cudaSuccess && copied == cudaSuccess && host[0] == 1.0f && host[31] == 1.0f;
}

// The index-th value; its name, or NULL behind the last.
PROBE const char* probe_value(int index, long long* value) {
  if (index >= static_cast<int>(sizeof kValues / sizeof *kValues)) return nullptr;
  *value = kValues[index].value;
  return kValues[index].name;
}

PROBE const char* probe_error_text(int error) {
  return cudaGetErrorString(static_cast<cudaError_t>(error));
}
PROBE const char* probe_error_name(int error) {
  return cudaGetErrorName(static_cast<cudaError_t>(error));
}

PROBE unsigned short probe_float_to_bf16(float f) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(f));
}
PROBE unsigned short probe_float_to_f16(float f) {
  return __half_as_ushort(__float2half_rn(f));
}
PROBE float probe_bf16_to_float(unsigned short h) {
  return __bfloat162float(__ushort_as_bfloat16(h));
}
PROBE float probe_f16_to_float(unsigned short h) {
  return __half2float(__ushort_as_half(h));
}
