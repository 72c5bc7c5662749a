#include "context.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace tt::cuda {
namespace {

constexpr size_t kAlignment = 256;
constexpr int64_t kLeastChunk = int64_t{1} << 20;

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "reading the device's attributes");
  return value;
}

Device describe(int index) {
  Device d{};
  d.index = index;
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index), "reading the device's properties");
  std::snprintf(d.name, sizeof d.name, "%.127s", properties.name);
  d.multiprocessors = properties.multiProcessorCount;
  d.capability = properties.major * 100 + properties.minor * 10;
  d.shared_bytes_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, index);
  d.memory_bytes = properties.totalGlobalMem;
  d.pools = attribute(cudaDevAttrMemoryPoolsSupported, index) != 0;
  return d;
}

Kernels allowed_kernels() {
  const char* text = std::getenv("TWINTAIL_CUDA_KERNELS");
  if (text == nullptr || *text == '\0' || std::strcmp(text, "tuned") == 0) return Kernels::kTuned;
  if (std::strcmp(text, "plain") == 0) return Kernels::kPlain;
  if (std::strcmp(text, "hopper") == 0) return Kernels::kHopper;
  bad_argument("TWINTAIL_CUDA_KERNELS", "plain, tuned or hopper", std::string(text));
}

/// Whether every later call in the process fails, as the runtime's documentation says of these. (Others between 700 and 799
/// only refuse the call: too many resources for a launch, peer access that is there already.)
bool loses_device(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorLaunchFailure:
    case cudaErrorAssert:
    case cudaErrorContextIsDestroyed:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
    case cudaErrorUnknown:
      return true;
    default:  // cudaErrorContained and cudaErrorTensorMemoryLeak, which CUDA 12.4 has no names for
      return static_cast<int>(status) == 226 || static_cast<int>(status) == 721;
  }
}

/// The device needs code that the driver would have to compile, and it cannot.
bool wants_newer_driver(cudaError_t status) {
  return status == cudaErrorJitCompilerNotFound || status == cudaErrorUnsupportedPtxVersion ||
         status == cudaErrorJitCompilationDisabled;
}

}  // namespace

void check(cudaError_t status, const char* doing) {
  if (status == cudaSuccess) return;
  const std::string what =
      format("%s: %s (%s)", doing, cudaGetErrorString(status), cudaGetErrorName(status));
  const int code = static_cast<int>(status);
  if (status == cudaErrorMemoryAllocation) out_of_memory(-1, free_memory(), doing);
  if (code == 209 || status == cudaErrorInvalidDeviceFunction)
    unsupported(what + "; this build has no code for the device");
  if (wants_newer_driver(status))
    unsupported(what + "; the driver is older than this build wants for the device");
  if (loses_device(status)) device_error(what);
  internal_error(what);
}

int64_t free_memory() {
  size_t free_bytes = 0, total = 0;
  return cudaMemGetInfo(&free_bytes, &total) == cudaSuccess ? static_cast<int64_t>(free_bytes) : -1;
}

void Workspace::add_chunk(size_t bytes) {
  void* memory = pool_.take(bytes, "workspace");
  chunks_.push_back(Chunk{static_cast<char*>(memory), bytes, 0});
  reserved_ += static_cast<int64_t>(bytes);
  count_bytes_(static_cast<int64_t>(bytes));
}

void* Workspace::take(size_t bytes) {
  bytes = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  if (chunks_.empty() || chunks_.back().size - chunks_.back().used < bytes) {
    chunks_.reserve(chunks_.size() + 1);
    const auto more = static_cast<size_t>(std::max(kLeastChunk, reserved_ / 2));
    tt_error no_room{};
    // Room for the next ones is only a wish.
    if (bytes >= more || guard(no_room, [&] { add_chunk(more); }) != TT_OK) add_chunk(bytes);
  }
  Chunk& chunk = chunks_.back();
  void* memory = chunk.memory + chunk.used;
  chunk.used += bytes;
  return memory;
}

void Workspace::trim() noexcept {
  for (const Chunk& chunk : chunks_) pool_.give_back(chunk.memory);
  chunks_.clear();
  if (reserved_ != 0) count_bytes_(-reserved_);
  reserved_ = 0;
}

void Workspace::join_chunks() noexcept {
  const int64_t size = reserved_;
  trim();
  pool_.trim();        // or old and new would both be held
  tt_error ignored{};  // an op that needs it tries again
  guard(ignored, [&] {
    chunks_.reserve(1);
    add_chunk(static_cast<size_t>(size));
  });
}

Scope::Scope(Workspace& workspace) : workspace_(workspace) {
  if (workspace.open_) internal_error("two scopes of a workspace at a time");
  workspace.open_ = true;
}

Scope::~Scope() {
  workspace_.open_ = false;
  // The op outgrew its chunk: one of the whole size, so that the next one does not.
  if (workspace_.chunks_.size() > 1) workspace_.join_chunks();
  for (Workspace::Chunk& chunk : workspace_.chunks_) chunk.used = 0;
}

void* Scope::take(int64_t count, size_t size) {
  const auto most = static_cast<size_t>(std::numeric_limits<int64_t>::max()) / 2 / size;
  if (count < 0 || static_cast<size_t>(count) > most) {
    out_of_memory(std::numeric_limits<int64_t>::max(), free_memory(), "workspace");
  }
  return workspace_.take(static_cast<size_t>(count) * size);
}

Stream::Stream(void* adopted) : stream_(static_cast<cudaStream_t>(adopted)) {
  if (stream_ == cudaStreamPerThread) {
    bad_argument("stream", "a stream that is the same one in every thread",
                 std::string("cudaStreamPerThread"));
  }
  if (adopted != nullptr) return;
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  owned_ = true;
}

Stream::~Stream() {
  if (owned_) cudaStreamDestroy(stream_);
}

Context::Context(const tt_context_options& options, void (*count_bytes)(int64_t))
    : own_stream(options.stream),
      device(describe(options.device_index)),
      stream(own_stream.get()),
      recording(stream),
      kernels(allowed_kernels()),
      pool(device, stream, recording),
      workspace(pool, count_bytes),
      cublaslt(cublaslt::Library::get()) {}

Context::~Context() {
  cudaStreamSynchronize(own_stream.get());
  if (counters_ != nullptr) pool.give_back(counters_);
}

unsigned* Context::counters() {
  if (counters_ != nullptr) return counters_;
  constexpr size_t kBytes = kCounters * sizeof *counters_;
  auto* memory = static_cast<unsigned*>(pool.take(kBytes, "counters"));
  const cudaError_t cleared = cudaMemsetAsync(memory, 0, kBytes, stream);
  if (cleared != cudaSuccess) pool.give_back(memory);
  check(cleared, "clearing counters");
  return counters_ = memory;
}

}  // namespace tt::cuda
