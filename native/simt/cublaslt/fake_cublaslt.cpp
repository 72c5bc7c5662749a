// A library that looks like cuBLASLt to whoever uses it as native/cuda/dense does: it checks what it is told, and
// multiplies on the CPU with plain loops in float64, in the order of the emulated device's stream. Only for tests.
//
// Stricter than the real one: an algorithm may only be used for the problem that it was chosen for, on the device of the
// handle, with pointers at least as aligned as was said, or as the bias was then, and with all of its workspace, which is
// overwritten.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>

#include "dense/cublaslt_api.h"
#include "simt/host_work.h"

#define FAKE_API extern "C" __attribute__((visibility("default")))

namespace tt::cuda::cublaslt {

struct HandleObject {
  int device;
};
struct OperationObject {
  int32_t transpose_a = kAsItIs, transpose_b = kAsItIs;
  uint32_t epilogue = kNoEpilogue;
  const float* bias = nullptr;
};
struct LayoutObject {
  uint64_t rows, columns;
  int64_t leading_dimension;
};
struct PreferenceObject {
  uint64_t workspace_bytes = 0;
  uint32_t reductions = 7;
  uint32_t alignments[4] = {256, 256, 256, 256};
};

}  // namespace tt::cuda::cublaslt

using namespace tt::cuda::cublaslt;

namespace {

constexpr size_t kWorkspace = 3000;

struct State {
  std::mutex mutex;
  std::map<std::string, int> calls;
  std::string failing;
  Status status = kNotSupported;  // of what fails
  int version[3] = {12, 4, 5};
};
State& state() {
  static auto* s = new State;
  return *s;
}

/// Counts the call, and says how it is to fail.
Status failure(const char* function) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  state().calls[function]++;
  return state().failing == function ? state().status : kSuccess;
}

template <class T>
Status take(T& to, const void* value, size_t bytes) {
  if (value == nullptr || bytes != sizeof(T)) return kInvalidValue;
  std::memcpy(&to, value, bytes);
  return kSuccess;
}

/// op(matrix): rows, columns.
struct Shape {
  uint64_t rows, columns;
};
Shape shape_of(Layout layout, int32_t transposed) {
  return transposed == kTransposed ? Shape{layout->columns, layout->rows}
                                   : Shape{layout->rows, layout->columns};
}

bool fit(Operation operation, Layout a, Layout b, Layout c, Layout d) {
  if (operation == nullptr || a == nullptr || b == nullptr || c == nullptr || d == nullptr)
    return false;
  const Shape left = shape_of(a, operation->transpose_a),
              right = shape_of(b, operation->transpose_b);
  const bool has_bias = (operation->epilogue & kBias) != 0;
  return left.columns == right.rows && left.rows == d->rows && right.columns == d->columns &&
         c->rows == d->rows && c->columns == d->columns &&
         c->leading_dimension == d->leading_dimension && has_bias == (operation->bias != nullptr);
}

/// What an algorithm was chosen for.
Algorithm describe(Operation operation, Layout a, Layout b, Layout d) {
  return Algorithm{{a->rows, a->columns, b->columns, d->rows, d->columns,
                    static_cast<uint64_t>(operation->transpose_a) << 32 |
                        static_cast<uint64_t>(operation->transpose_b) << 33 | operation->epilogue,
                    0, 0}};
}

/// Bytes, at most 256.
uint64_t alignment_of(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p) | 256;
  return address & (~address + 1);
}

uint64_t pack(const uint32_t* alignments) {
  uint64_t packed = 0;
  for (int i = 0; i < 4; ++i) packed |= static_cast<uint64_t>(alignments[i]) << 16 * i;
  return packed;
}

bool aligned(const void* p, uint64_t bytes) {
  return bytes != 0 && reinterpret_cast<uintptr_t>(p) % bytes == 0;
}

size_t bytes_of(Layout layout) {
  return ((layout->columns - 1) * static_cast<uint64_t>(layout->leading_dimension) + layout->rows) *
         sizeof(float);
}

double at(const float* matrix, const LayoutObject& layout, int32_t transposed, uint64_t i,
          uint64_t j) {
  if (transposed == kTransposed) std::swap(i, j);
  return static_cast<double>(matrix[j * static_cast<uint64_t>(layout.leading_dimension) + i]);
}

/// One product, by value: it may be done later and more than once.
struct Product {
  OperationObject operation;
  LayoutObject a_layout, b_layout, d_layout;
  const float *a, *b, *c;
  float* d;
  float alpha, beta;
  void* workspace;
  size_t workspace_bytes;

  void run() const {
    std::memset(workspace, 0xff, workspace_bytes);
    const uint64_t depth = operation.transpose_a == kTransposed ? a_layout.rows : a_layout.columns;
    for (uint64_t j = 0; j < d_layout.columns; ++j) {
      for (uint64_t i = 0; i < d_layout.rows; ++i) {
        double sum = 0;
        for (uint64_t k = 0; k < depth; ++k) {
          sum += at(a, a_layout, operation.transpose_a, i, k) *
                 at(b, b_layout, operation.transpose_b, k, j);
        }
        sum *= static_cast<double>(alpha);
        if (beta != 0) sum += static_cast<double>(beta) * at(c, d_layout, kAsItIs, i, j);
        if ((operation.epilogue & kBias) != 0) sum += static_cast<double>(operation.bias[i]);
        d[j * static_cast<uint64_t>(d_layout.leading_dimension) + i] = static_cast<float>(sum);
      }
    }
  }
};

using Submit = cudaError_t (*)(cudaStream_t, const simt::HostWork&);
using Setup = cudaError_t (*)();
using DeviceOf = int (*)();

/// A function of the machine, which is in the program, or in the plugin that calls.
template <class F>
F of_machine(const char* name, void* caller) {
  void* found = dlsym(RTLD_DEFAULT, name);
  Dl_info info{};
  if (found == nullptr && dladdr(caller, &info) != 0 && info.dli_fname != nullptr) {
    if (void* plugin = dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD)) found = dlsym(plugin, name);
  }
  F function = nullptr;
  std::memcpy(&function, &found, sizeof found);
  return function;
}

/// What the library allocates and loads before it can work.
Status prepare(void* caller) {
  const auto setup = of_machine<Setup>("simt_host_setup", caller);
  const cudaError_t status = setup != nullptr ? setup() : cudaErrorUnknown;
  if (status == cudaErrorDeviceUninitialized) return kNotInitialized;
  return status == cudaSuccess ? kSuccess : kAllocationFailed;
}

/// Whether the thread's device is the handle's.
Status check_device(Handle handle, void* caller) {
  const auto device_of = of_machine<DeviceOf>("simt_host_device", caller);
  if (handle == nullptr || device_of == nullptr) return kInvalidValue;
  const int device = device_of();
  if (device < 0) return kNotInitialized;
  return device == handle->device ? kSuccess : kInvalidValue;
}

}  // namespace

// ---- what tests ask

/// The named function returns the status from now on; "" for none.
FAKE_API void fake_cublaslt_fail(const char* function, Status status) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  state().failing = function;
  state().status = status;
}
/// How often the function has been called; "product": how often cublasLtMatmul has put one on a stream.
FAKE_API int fake_cublaslt_calls(const char* function) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  return state().calls[function];
}

FAKE_API void fake_cublaslt_version(int major, int minor, int patch) {
  const std::lock_guard<std::mutex> lock(state().mutex);
  int* version = state().version;
  version[0] = major;
  version[1] = minor;
  version[2] = patch;
}

// ---- cuBLASLt

FAKE_API size_t cublasLtGetVersion() {
  const int* version = state().version;
  const int number = version[0] * (version[0] < 12 ? 1000 : 10000) + version[1] * 100 + version[2];
  return static_cast<size_t>(number);
}
FAKE_API Status cublasLtGetProperty(int property, int* value) {
  if (property < kMajorVersion || property > kPatchLevel || value == nullptr) return kInvalidValue;
  *value = state().version[property];
  return kSuccess;
}

FAKE_API Status cublasLtCreate(Handle* handle) {
  if (const Status status = failure(__func__)) return status;
  if (const Status status = prepare(__builtin_return_address(0))) return status;
  const auto device = of_machine<DeviceOf>("simt_host_device", __builtin_return_address(0));
  *handle = new HandleObject{device()};
  return kSuccess;
}
/// "Because cublasLtCreate allocates some internal resources ..., cublasLtDestroy implicitly calls cudaDeviceSynchronize."
FAKE_API Status cublasLtDestroy(Handle handle) {
  failure(__func__);
  const auto wait = of_machine<Setup>("simt_host_synchronize", __builtin_return_address(0));
  delete handle;
  return wait() == cudaSuccess ? kSuccess : kInternalError;
}

FAKE_API Status cublasLtMatmulDescCreate(Operation* operation, int compute_type, int scale_type) {
  if (const Status status = failure(__func__)) return status;
  if (compute_type != kComputeFloat32 || scale_type != kFloat32) return kNotSupported;
  *operation = new OperationObject;
  return kSuccess;
}
FAKE_API Status cublasLtMatmulDescDestroy(Operation operation) {
  failure(__func__);
  delete operation;
  return kSuccess;
}
FAKE_API Status cublasLtMatmulDescSetAttribute(Operation operation, int attribute,
                                               const void* value, size_t bytes) {
  if (const Status status = failure(__func__)) return status;
  switch (attribute) {
    case kTransposeA:
      return take(operation->transpose_a, value, bytes);
    case kTransposeB:
      return take(operation->transpose_b, value, bytes);
    case kEpilogue:
      return take(operation->epilogue, value, bytes);
    case kBiasPointer:
      return take(operation->bias, value, bytes);
    default:
      return kInvalidValue;
  }
}

FAKE_API Status cublasLtMatrixLayoutCreate(Layout* layout, int type, uint64_t rows,
                                           uint64_t columns, int64_t leading_dimension) {
  if (const Status status = failure(__func__)) return status;
  if (type != kFloat32) return kNotSupported;
  if (rows == 0 || columns == 0 || leading_dimension < static_cast<int64_t>(rows))
    return kInvalidValue;
  *layout = new LayoutObject{rows, columns, leading_dimension};
  return kSuccess;
}
FAKE_API Status cublasLtMatrixLayoutDestroy(Layout layout) {
  failure(__func__);
  delete layout;
  return kSuccess;
}

FAKE_API Status cublasLtMatmulPreferenceCreate(Preference* preference) {
  if (const Status status = failure(__func__)) return status;
  *preference = new PreferenceObject;
  return kSuccess;
}
FAKE_API Status cublasLtMatmulPreferenceDestroy(Preference preference) {
  failure(__func__);
  delete preference;
  return kSuccess;
}
FAKE_API Status cublasLtMatmulPreferenceSetAttribute(Preference preference, int attribute,
                                                     const void* value, size_t bytes) {
  if (const Status status = failure(__func__)) return status;
  switch (attribute) {
    case kMostWorkspaceBytes:
      return take(preference->workspace_bytes, value, bytes);
    case kReductionSchemeMask:
      return take(preference->reductions, value, bytes);
    case kLeastAlignmentA:
    case kLeastAlignmentB:
    case kLeastAlignmentC:
    case kLeastAlignmentD:
      return take(preference->alignments[attribute - kLeastAlignmentA], value, bytes);
    default:
      return kInvalidValue;
  }
}

FAKE_API Status cublasLtMatmulAlgoGetHeuristic(Handle handle, Operation operation, Layout a,
                                               Layout b, Layout c, Layout d, Preference preference,
                                               int wanted, Heuristic* results, int* found) {
  *found = 0;
  if (const Status status = failure(__func__)) return status;
  if (const Status status = check_device(handle, __builtin_return_address(0))) return status;
  if (const Status status = prepare(__builtin_return_address(0))) return status;
  if (wanted < 1 || !fit(operation, a, b, c, d)) return kInvalidValue;
  if (preference->workspace_bytes < kWorkspace) return kNotSupported;
  if ((preference->reductions & kReduceInPlace) != 0) return kInvalidValue;  // not the same bits
  results[0] = Heuristic{};
  results[0].algorithm = describe(operation, a, b, d);
  results[0].algorithm.data[6] = pack(preference->alignments);
  results[0].algorithm.data[7] = alignment_of(operation->bias);
  results[0].workspace_bytes = kWorkspace;
  results[0].waves = 1;
  *found = 1;
  return kSuccess;
}

FAKE_API Status cublasLtMatmul(Handle handle, Operation operation, const void* alpha, const void* a,
                               Layout a_layout, const void* b, Layout b_layout, const void* beta,
                               const void* c, Layout c_layout, void* d, Layout d_layout,
                               const Algorithm* algorithm, void* workspace, size_t workspace_bytes,
                               cudaStream_t stream) {
  if (const Status status = failure(__func__)) return status;
  if (const Status status = check_device(handle, __builtin_return_address(0))) return status;
  if (algorithm == nullptr || alpha == nullptr || beta == nullptr ||
      !fit(operation, a_layout, b_layout, c_layout, d_layout) || workspace_bytes < kWorkspace)
    return kInvalidValue;
  Algorithm expected = describe(operation, a_layout, b_layout, d_layout);
  const uint64_t alignments = expected.data[6] = algorithm->data[6];
  expected.data[7] = algorithm->data[7];
  if (std::memcmp(&expected, algorithm, sizeof expected) != 0) return kInvalidValue;
  const void* pointers[] = {a, b, c, d};
  for (int i = 0; i < 4; ++i) {
    if (!aligned(pointers[i], alignments >> 16 * i & 0xffff)) return kInvalidValue;
  }
  // On a GPU it is found too late to be refused: when the kernel runs.
  if ((operation->epilogue & kBias) != 0 && !aligned(operation->bias, kBiasAlignment)) {
    std::fputs("cublasLtMatmul: the bias is not aligned to 16 bytes\n", stderr);
    std::abort();
  }
  if ((operation->epilogue & kBias) != 0 && !aligned(operation->bias, algorithm->data[7]))
    return kInvalidValue;
  Product product{*operation,
                  *a_layout,
                  *b_layout,
                  *d_layout,
                  static_cast<const float*>(a),
                  static_cast<const float*>(b),
                  static_cast<const float*>(c),
                  static_cast<float*>(d),
                  0,
                  0,
                  workspace,
                  workspace_bytes};
  std::memcpy(&product.alpha, alpha, sizeof product.alpha);
  std::memcpy(&product.beta, beta, sizeof product.beta);
  simt::HostWork work;
  work.ranges = {{a, bytes_of(a_layout), false},
                 {b, bytes_of(b_layout), false},
                 {d, bytes_of(d_layout), true},
                 {workspace, workspace_bytes, true}};
  if (operation->bias != nullptr)
    work.ranges.push_back({operation->bias, d_layout->rows * sizeof(float), false});
  work.run = [product] { product.run(); };
  const auto submit = of_machine<Submit>("simt_host_work", __builtin_return_address(0));
  if (submit == nullptr) return kInvalidValue;
  if (submit(stream, work) != cudaSuccess) return kInvalidValue;
  failure("product");
  return kSuccess;
}
