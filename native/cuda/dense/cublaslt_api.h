// What Twintail uses of cuBLASLt, declared here because the library is found at run time and its headers are not
// needed to build. Values and layouts are those of "cuBLAS: Using the cuBLASLt API" in the CUDA Toolkit documentation
// (docs.nvidia.com/cuda/cublas, types cublasComputeType_t, cublasLtMatmulDescAttributes_t, cublasLtEpilogue_t,
// cublasLtMatmulPreferenceAttributes_t, cublasLtReductionScheme_t, cublasLtMatmulHeuristicResult_t); they are the same in
// versions 11, 12 and 13.
#pragma once

#include <cstddef>
#include <cstdint>

#include "device.h"

namespace tt::cuda::cublaslt {

using Status = int;  // cublasStatus_t
constexpr Status kSuccess = 0, kNotInitialized = 1, kAllocationFailed = 3, kInvalidValue = 7,
                 kArchitectureMismatch = 8, kInternalError = 14, kNotSupported = 15;

using Handle = struct HandleObject*;
using Operation = struct OperationObject*;    // cublasLtMatmulDesc_t
using Layout = struct LayoutObject*;          // cublasLtMatrixLayout_t
using Preference = struct PreferenceObject*;  // cublasLtMatmulPreference_t

constexpr int kFloat32 = 0;                      // CUDA_R_32F
constexpr int kComputeFloat32 = 68;              // CUBLAS_COMPUTE_32F: no TF32
constexpr int32_t kAsItIs = 0, kTransposed = 1;  // cublasOperation_t

enum Property : int { kMajorVersion = 0, kMinorVersion = 1, kPatchLevel = 2 };
enum OperationAttribute : int {
  kTransposeA = 3,   // int32_t
  kTransposeB = 4,   // int32_t
  kEpilogue = 7,     // uint32_t
  kBiasPointer = 8,  // const void*
};
/// The bias has one value for each row of the result. CUBLASLT_EPILOGUE_RELU and RELU_BIAS are left out: they are max(x, 0),
/// and CUDA's fmax of NaN and 0 is 0.
enum Epilogue : uint32_t {
  kNoEpilogue = 1,
  kBias = 4,
};
/// The preferences speak of the matrices' alignment only. Epilogues have been seen to read a bias that was aligned to less as
/// if it were (a misaligned address, after which the context is lost): marian-nmt/marian-dev#778, pytorch/pytorch#194497.
constexpr uintptr_t kBiasAlignment = 16;
enum PreferenceAttribute : int {
  kMostWorkspaceBytes = 1,   // uint64_t
  kReductionSchemeMask = 3,  // uint32_t
  kLeastAlignmentA = 5,      // uint32_t, bytes
  kLeastAlignmentB = 6,
  kLeastAlignmentC = 7,
  kLeastAlignmentD = 8,
};
/// How the partial sums of a split depth are added. In place: in the order in which they are done, so left out here.
constexpr uint32_t kReduceInPlace = 1, kReduceInComputeType = 2, kReduceInOutputType = 4;

struct Algorithm {
  uint64_t data[8];
};
struct Heuristic {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};
static_assert(sizeof(Heuristic) == 96, "cublasLtMatmulHeuristicResult_t");

// X(member, name, parameters). Matrices are column-major: element (i, j) at [j * leading dimension + i].
#define TT_CUBLASLT_STATUS_FUNCTIONS(X)                                                         \
  X(property, cublasLtGetProperty, (int property, int* value))                                  \
  X(create, cublasLtCreate, (Handle * handle))                                                  \
  X(operation_create, cublasLtMatmulDescCreate,                                                 \
    (Operation * operation, int compute_type, int scale_type))                                  \
  X(operation_destroy, cublasLtMatmulDescDestroy, (Operation operation))                        \
  X(operation_set, cublasLtMatmulDescSetAttribute,                                              \
    (Operation operation, int attribute, const void* value, size_t bytes))                      \
  X(layout_create, cublasLtMatrixLayoutCreate,                                                  \
    (Layout * layout, int type, uint64_t rows, uint64_t columns, int64_t leading_dimension))    \
  X(layout_destroy, cublasLtMatrixLayoutDestroy, (Layout layout))                               \
  X(preference_create, cublasLtMatmulPreferenceCreate, (Preference * preference))               \
  X(preference_destroy, cublasLtMatmulPreferenceDestroy, (Preference preference))               \
  X(preference_set, cublasLtMatmulPreferenceSetAttribute,                                       \
    (Preference preference, int attribute, const void* value, size_t bytes))                    \
  X(heuristic, cublasLtMatmulAlgoGetHeuristic,                                                  \
    (Handle handle, Operation operation, Layout a, Layout b, Layout c, Layout d,                \
     Preference preference, int wanted, Heuristic* results, int* found))                        \
  X(matmul, cublasLtMatmul,                                                                     \
    (Handle handle, Operation operation, const void* alpha, const void* a, Layout a_layout,     \
     const void* b, Layout b_layout, const void* beta, const void* c, Layout c_layout, void* d, \
     Layout d_layout, const Algorithm* algorithm, void* workspace, size_t workspace_bytes,      \
     cudaStream_t stream))

/// Without cublasLtDestroy, see handle_of; and without cublasLtGetVersion, whose number the versions before 12 write otherwise.
struct Functions {
#define TT_CUBLASLT_MEMBER(member, name, parameters) Status(*member) parameters;
  TT_CUBLASLT_STATUS_FUNCTIONS(TT_CUBLASLT_MEMBER)
#undef TT_CUBLASLT_MEMBER
};

}  // namespace tt::cuda::cublaslt
