#include "dense/cublaslt.h"

#include <algorithm>

#include "context.h"

namespace tt::cuda {

using namespace cublaslt;

namespace {

constexpr uint64_t kMostWorkspace = 32 << 20;  // what NVIDIA recommends for sm_90; others need less
constexpr size_t kMostPlans = 1024;
constexpr int kMostFailures = 8;  // after which nothing is hoped for

/// Bytes, at most 16: more helps no kernel.
uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p) | 16;
  return static_cast<uint32_t>(address & (~address + 1));
}

uint32_t epilogue_of(const ColumnProduct& p) {
  return p.bias == nullptr ? kNoEpilogue : kBias;
}

}  // namespace

/// What a shape needs for every call.
struct CublasLt::Plan {
  const Functions& functions;
  int failures = 0;  // to prepare it; 0: it can be used
  Operation operation = nullptr;
  Layout a = nullptr, b = nullptr, d = nullptr;
  Algorithm algorithm{};
  size_t workspace_bytes = 0;

  explicit Plan(const Functions& f) : functions(f) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    for (Layout layout : {a, b, d}) {
      if (layout != nullptr) functions.layout_destroy(layout);
    }
    if (operation != nullptr) functions.operation_destroy(operation);
  }

  /// With a bias of the least alignment that may come: the heuristic depends on it, and looks at the address alone.
  Status describe(const ColumnProduct& p) {
    Status status = functions.operation_create(&operation, kComputeFloat32, kFloat32);
    const auto set = [&](int attribute, auto value) {
      if (status == kSuccess)
        status = functions.operation_set(operation, attribute, &value, sizeof value);
    };
    const auto make_layout = [&](Layout* to, int64_t rows, int64_t columns) {
      if (status == kSuccess)
        status = functions.layout_create(to, kFloat32, static_cast<uint64_t>(rows),
                                         static_cast<uint64_t>(columns), rows);
    };
    set(kTransposeA, p.transpose_a ? kTransposed : kAsItIs);
    set(kTransposeB, p.transpose_b ? kTransposed : kAsItIs);
    set(kEpilogue, epilogue_of(p));
    if (p.bias != nullptr) set(kBiasPointer, reinterpret_cast<const void*>(kBiasAlignment));
    make_layout(&a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
    make_layout(&b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
    make_layout(&d, p.m, p.n);
    return status;
  }

  /// kNotSupported also where the library knows of no algorithm.
  Status choose(SharedHandle& shared, const ColumnProduct& p) {
    const std::lock_guard<std::mutex> turn(shared.mutex);
    const Functions& f = functions;
    Status status = describe(p);
    Preference preference = nullptr;
    if (status == kSuccess) status = f.preference_create(&preference);
    if (status != kSuccess) return status;
    const auto set = [&](int attribute, auto value) {
      if (status == kSuccess)
        status = f.preference_set(preference, attribute, &value, sizeof value);
    };
    set(kMostWorkspaceBytes, kMostWorkspace);
    set(kReductionSchemeMask, kReduceInComputeType | kReduceInOutputType);
    set(kLeastAlignmentA, alignment(p.a));
    set(kLeastAlignmentB, alignment(p.b));
    set(kLeastAlignmentC, alignment(p.d));
    set(kLeastAlignmentD, alignment(p.d));
    Heuristic best{};
    int found = 0;
    if (status == kSuccess)
      status = f.heuristic(shared.handle, operation, a, b, d, d, preference, 1, &best, &found);
    f.preference_destroy(preference);
    if (status != kSuccess) return status;
    if (found < 1 || best.workspace_bytes > kMostWorkspace) return kNotSupported;
    algorithm = best.algorithm;
    workspace_bytes = best.workspace_bytes;
    return best.state;
  }

  Status run(SharedHandle& shared, const ColumnProduct& p, void* workspace,
             cudaStream_t stream) const {
    const std::lock_guard<std::mutex> turn(shared.mutex);
    if (p.bias != nullptr) {
      const Status status =
          functions.operation_set(operation, kBiasPointer, &p.bias, sizeof p.bias);
      if (status != kSuccess) return status;
    }
    const float one = 1.0f, zero = 0.0f;
    return functions.matmul(shared.handle, operation, &one, p.a, a, p.b, b, &zero, p.d, d, p.d, d,
                            &algorithm, workspace, workspace_bytes, stream);
  }
};

CublasLt::CublasLt(const Library& library) : library_(library) {}

CublasLt::~CublasLt() = default;

/// NULL: the library cannot be used, at least now.
CublasLt::Plan* CublasLt::plan_of(Context& context, const ColumnProduct& p) {
  const uint32_t kind = epilogue_of(p) << 2 | (p.transpose_a ? 2u : 0u) | (p.transpose_b ? 1u : 0u);
  const uint32_t alignments = alignment(p.a) | alignment(p.b) << 8 | alignment(p.d) << 16;
  const Key key(p.m, p.n, p.k, kind, alignments);
  const auto known = plans_.find(key);
  const int failures = known != plans_.end() ? known->second->failures : 0;
  if (known != plans_.end() && (failures == 0 || failures >= kMostFailures)) {
    return known->second.get();
  }
  context.recording.interrupt();
  bool captured = false;
  check(ask_captured(context.stream, &captured), "linear");
  if (captured) {
    unsupported(
        "linear: cuBLASLt cannot prepare a product while the stream is captured; run the same call "
        "once before");
  }
  if (shared_ == nullptr || shared_->handle == nullptr) {
    shared_ = handle_of(library_, context.device.index);
    const bool later = shared_ != nullptr && shared_->handle == nullptr;
    unusable_ = shared_ == nullptr || (later && ++handle_failures_ >= kMostFailures);
    if (unusable_ || later) return nullptr;
  }
  auto plan = std::make_unique<Plan>(library_.functions);
  const Status status = plan->choose(*shared_, p);
  if (status != kSuccess) {
    cudaGetLastError();
    plan->failures = status == kNotSupported ? kMostFailures : failures + 1;
  }
  if (plans_.size() >= kMostPlans) plans_.clear();  // they would be chosen again as they were
  return (plans_[key] = std::move(plan)).get();
}

bool CublasLt::multiply(Context& context, Scope& scope, const ColumnProduct& p) {
  if (!available()) return false;
  Plan* plan = plan_of(context, p);
  if (plan == nullptr || plan->failures > 0) return false;
  void* workspace = nullptr;
  if (plan->workspace_bytes > 0)
    workspace = scope.get<char>(static_cast<int64_t>(plan->workspace_bytes));
  const Status status = plan->run(*shared_, p, workspace, context.stream);
  if (status == kSuccess) return true;
  cudaGetLastError();  // if the device is lost, the kernel that comes instead says so
  if (status == kNotSupported) plan->failures = kMostFailures;
  return false;
}

}  // namespace tt::cuda
