// Devices, errors' names, and the launch of kernels.
#include <cstdio>
#include <cstdlib>
#include <map>

#include "device_memory.h"
#include "host_thread.h"
#include "machine.h"
#include "stream.h"

namespace simt {

namespace {

using Lock = std::lock_guard<std::recursive_mutex>;
constexpr std::size_t kDefaultShared = 48 * 1024;
std::map<const void*, std::size_t>
    shared_maximum;  // of kernels that asked for more than the default

template <class T>
void from_environment(const char* name, T& value) {
  if (const char* text = std::getenv(name)) value = static_cast<T>(std::strtoull(text, nullptr, 0));
}

}  // namespace

Options read_options() {
  Options options;
  from_environment("SIMT_SEED", options.seed);
  from_environment("SIMT_SM", options.compute_capability);
  from_environment("SIMT_SMS", options.multiprocessors);
  from_environment("SIMT_DEFER", options.defer_streams);
  from_environment("SIMT_HOST_GUARD", options.host_guard);
  from_environment("SIMT_POOLS", options.memory_pools);
  from_environment("SIMT_TRACE", options.trace);
  bool allow_uninitialised = false;
  from_environment("SIMT_UNINITIALISED", allow_uninitialised);
  options.check_uninitialised = !allow_uninitialised;
  std::size_t megabytes = options.memory_bytes >> 20;
  from_environment("SIMT_MEMORY_MB", megabytes);
  options.memory_bytes = megabytes << 20;
  return options;
}

namespace {

cudaError_t check_launch(const Grid& grid) {
  const std::uint64_t threads =
      static_cast<std::uint64_t>(grid.block.x) * grid.block.y * grid.block.z;
  if (threads == 0 || threads > 1024 || grid.block.x > 1024 || grid.block.y > 1024 ||
      grid.block.z > 64)
    return cudaErrorInvalidConfiguration;
  if (grid.grid.x == 0 || grid.grid.y == 0 || grid.grid.z == 0 || grid.grid.x > 0x7fffffffu ||
      grid.grid.y > 65535 || grid.grid.z > 65535)
    return cudaErrorInvalidConfiguration;
  const auto asked = shared_maximum.find(grid.key);
  const std::size_t allowed = asked == shared_maximum.end() ? kDefaultShared : asked->second;
  return grid.shared_bytes > allowed ? cudaErrorInvalidValue : cudaSuccess;
}

void explain(const Grid& grid, const std::string& text) {
  if (machine.options.print_failures)
    std::fprintf(stderr, "simt: launch of %s at %s:%d: %s\n", grid.kernel, grid.where.file,
                 grid.where.line, text.c_str());
}

}  // namespace

Options& options() {
  return machine.options;
}

void trace(const std::string& what) {
  if (machine.options.trace) std::fprintf(stderr, "simt: %s\n", what.c_str());
}

cudaError_t launch(const Grid& grid, cudaStream_t stream, Call call) {
  const Lock lock(machine.mutex);
  if (const cudaError_t status = use_context()) return record(status);
  if (const cudaError_t status = check_launch(grid)) {
    explain(grid,
            format("grid (%u,%u,%u), block (%u,%u,%u), %zu bytes of shared memory are refused",
                   grid.grid.x, grid.grid.y, grid.grid.z, grid.block.x, grid.block.y, grid.block.z,
                   grid.shared_bytes));
    return record(status);
  }
  return record(submit(stream, Job::kKernel, [grid, call = std::move(call)] {
    if (const cudaError_t status = shared_prepare(grid.shared_bytes)) return status;
    trace(format("%s, %u blocks of %u", grid.kernel, grid.grid.x * grid.grid.y * grid.grid.z,
                 grid.block.x * grid.block.y * grid.block.z));
    return run_grid(grid, call);
  }));
}

cudaError_t set_function_attribute(const void* key, cudaFuncAttribute attribute, int value) {
  const Lock lock(machine.mutex);
  if (key == nullptr || value < 0) return record(cudaErrorInvalidValue);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (static_cast<std::size_t>(value) > shared_limit()) return record(cudaErrorInvalidValue);
  shared_maximum[key] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t check_argument(const Grid& grid, int index, const void* p) {
  const Lock lock(machine.mutex);
  if (p == nullptr || memory_kind(p, 0) == MemoryKind::kDevice ||
      memory_kind(p, 0) == MemoryKind::kPinned)
    return cudaSuccess;
  report(format("launch of %s at %s:%d: argument %d is %s, which a GPU cannot read", grid.kernel,
                grid.where.file, grid.where.line, index, describe_address(p).c_str()));
  return record(cudaErrorLaunchFailure);
}

}  // namespace simt

using simt::machine;
using simt::record;
using Lock = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(machine.mutex);
  if (const cudaError_t status = simt::use_context()) return record(status);
  return record(simt::finish_all());
}

cudaError_t cudaDeviceReset() {
  const Lock lock(machine.mutex);
  machine.failure.clear();
  simt::free_all_memory();
  cudaGetLastError();
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  if (version == nullptr) return record(cudaErrorInvalidValue);
  *version = simt::options().driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return record(cudaErrorInvalidValue);
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  const Lock lock(machine.mutex);
  if (properties == nullptr) return record(cudaErrorInvalidValue);
  const simt::Options& o = simt::options();
  if (device < 0 || device >= o.device_count) return record(cudaErrorInvalidDevice);
  cudaDeviceProp p = {};
  std::snprintf(p.name, sizeof p.name, "simt (sm_%d on the CPU)", o.compute_capability);
  p.totalGlobalMem = o.memory_bytes;
  p.sharedMemPerBlock = simt::kDefaultShared;
  p.sharedMemPerBlockOptin = simt::shared_limit();
  p.sharedMemPerMultiprocessor = simt::shared_limit() + 1024;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = 32;
  p.maxThreadsPerBlock = 1024;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = 1024;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7fffffff;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.major = o.compute_capability / 10;
  p.minor = o.compute_capability % 10;
  p.multiProcessorCount = o.multiprocessors;
  p.concurrentKernels = p.unifiedAddressing = 1;
  p.asyncEngineCount = 2;
  p.memoryBusWidth = 256;
  p.l2CacheSize = 4 << 20;
  p.maxThreadsPerMultiProcessor = o.compute_capability == 75 ? 1024 : 2048;
  *properties = p;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  const Lock lock(machine.mutex);
  cudaDeviceProp p;
  if (value == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = cudaGetDeviceProperties(&p, device)) return status;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxGridDimX:
      *value = p.maxGridSize[0];
      break;
    case cudaDevAttrMaxGridDimY:
      *value = p.maxGridSize[1];
      break;
    case cudaDevAttrMaxGridDimZ:
      *value = p.maxGridSize[2];
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMaxRegistersPerBlock:
      *value = p.regsPerBlock;
      break;
    case cudaDevAttrClockRate:
      *value = 1000000;
      break;  // kHz
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrIntegrated:
      *value = p.integrated;
      break;
    case cudaDevAttrMemoryClockRate:
      *value = 1000000;
      break;  // kHz
    case cudaDevAttrGlobalMemoryBusWidth:
      *value = p.memoryBusWidth;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      *value = p.maxThreadsPerMultiProcessor;
      break;
    case cudaDevAttrUnifiedAddressing:
      *value = p.unifiedAddressing;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      *value = p.regsPerMultiprocessor;
      break;
    case cudaDevAttrManagedMemory:
      *value = 0;
      break;
    case cudaDevAttrPageableMemoryAccess:
      *value = simt::options().pageable_access ? 1 : 0;
      break;
    case cudaDevAttrCooperativeLaunch:
      *value = 0;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      *value = 16;
      break;
    case cudaDevAttrMemoryPoolsSupported:
      *value = simt::options().memory_pools ? 1 : 0;
      break;
    default:
      return record(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

namespace {
struct ErrorText {
  cudaError_t error;
  const char *name, *text;
};
#define SIMT_ERROR(error, text) \
  { error, #error, text }
const ErrorText kErrors[] = {
    SIMT_ERROR(cudaSuccess, "no error"),
    SIMT_ERROR(cudaErrorInvalidValue, "invalid argument"),
    SIMT_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    SIMT_ERROR(cudaErrorInitializationError, "initialization error"),
    SIMT_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    SIMT_ERROR(cudaErrorInvalidSymbol, "invalid device symbol"),
    SIMT_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    SIMT_ERROR(cudaErrorInsufficientDriver,
               "CUDA driver version is insufficient for CUDA runtime version"),
    SIMT_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    SIMT_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    SIMT_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    SIMT_ERROR(cudaErrorDeviceUninitialized, "invalid device context"),
    SIMT_ERROR(cudaErrorJitCompilerNotFound, "PTX JIT compiler library not found"),
    SIMT_ERROR(cudaErrorUnsupportedPtxVersion,
               "the provided PTX was compiled with an unsupported toolchain."),
    SIMT_ERROR(cudaErrorJitCompilationDisabled, "PTX JIT compilation was disabled"),
    SIMT_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    SIMT_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    SIMT_ERROR(cudaErrorNotReady, "device not ready"),
    SIMT_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    SIMT_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    SIMT_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    SIMT_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    SIMT_ERROR(cudaErrorNotSupported, "operation not supported"),
    SIMT_ERROR(cudaErrorMpsClientTerminated, "the MPS client has been terminated by the server"),
    SIMT_ERROR(cudaErrorStreamCaptureUnsupported,
               "operation not permitted when stream is capturing"),
    SIMT_ERROR(cudaErrorStreamCaptureInvalidated,
               "operation failed due to a previous error during capture"),
    SIMT_ERROR(cudaErrorStreamCaptureMerge,
               "operation would result in a merge of separate capture sequences"),
    SIMT_ERROR(cudaErrorStreamCaptureUnmatched,
               "capture was not ended in the same stream as it began"),
    SIMT_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    SIMT_ERROR(cudaErrorStreamCaptureIsolation,
               "dependency created on uncaptured work in another stream"),
    SIMT_ERROR(cudaErrorStreamCaptureImplicit,
               "operation would make the legacy stream depend on a capturing blocking stream"),
    SIMT_ERROR(cudaErrorCapturedEvent,
               "operation not permitted on an event last recorded in a capturing stream"),
    SIMT_ERROR(cudaErrorStreamCaptureWrongThread,
               "attempt to terminate a thread-local capture sequence from another thread"),
    SIMT_ERROR(cudaErrorGraphExecUpdateFailure,
               "the graph update was not performed because it included changes which violated "
               "constraints specific to instantiated graph update"),
    SIMT_ERROR(cudaErrorExternalDevice,
               "an async error has occured in external entity outside of CUDA"),
    SIMT_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef SIMT_ERROR
const ErrorText& text_of(cudaError_t error) {
  for (const ErrorText& text : kErrors)
    if (text.error == error) return text;
  static const ErrorText unknown{cudaErrorUnknown, "unrecognized error code",
                                 "unrecognized error code"};
  return unknown;
}
}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  return text_of(error).name;
}
const char* cudaGetErrorString(cudaError_t error) {
  return text_of(error).text;
}
