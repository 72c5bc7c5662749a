#include "dense/cublaslt.h"

#include <algorithm>

#include "context.h"

namespace tt::cuda {

using namespace cublaslt;

namespace {

constexpr uint64_t kMostWorkspace = 32 << 20;  // what NVIDIA recommends for sm_90; others need less
constexpr size_t kMostPlans = 1024;

/// Bytes, at most 16: more helps no kernel.
uint32_t alignment(const void* p) {
  const auto address = reinterpret_cast<uintptr_t>(p) | 16;
  return static_cast<uint32_t>(address & (~address + 1));
}

uint32_t epilogue_of(const ColumnProduct& p) {
  return p.bias == nullptr ? kNoEpilogue : kBias;
}

template <class T>
bool set(Status (*function)(Operation, int, const void*, size_t), Operation to, int attribute,
         T value) {
  return function(to, attribute, &value, sizeof value) == kSuccess;
}
template <class T>
bool set(Status (*function)(Preference, int, const void*, size_t), Preference to, int attribute,
         T value) {
  return function(to, attribute, &value, sizeof value) == kSuccess;
}

}  // namespace

/// What a shape needs for every call.
struct CublasLt::Plan {
  const Functions& functions;
  bool usable = false;
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

  bool describe(const ColumnProduct& p) {
    const auto layout = [&](Layout* to, int64_t rows, int64_t columns) {
      return functions.layout_create(to, kFloat32, static_cast<uint64_t>(rows),
                                     static_cast<uint64_t>(columns), rows) == kSuccess;
    };
    const auto set_operation = functions.operation_set;
    return functions.operation_create(&operation, kComputeFloat32, kFloat32) == kSuccess &&
           set(set_operation, operation, kTransposeA, p.transpose_a ? kTransposed : kAsItIs) &&
           set(set_operation, operation, kTransposeB, p.transpose_b ? kTransposed : kAsItIs) &&
           set(set_operation, operation, kEpilogue, epilogue_of(p)) && set_bias(p.bias) &&
           layout(&a, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k) &&
           layout(&b, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n) && layout(&d, p.m, p.n);
  }

  bool set_bias(const float* bias) {
    return bias == nullptr || set(functions.operation_set, operation, kBiasPointer, bias);
  }
};

CublasLt::CublasLt(const Library& library) : library_(library) {}

CublasLt::~CublasLt() {
  plans_.clear();
  if (handle_ != nullptr) library_.functions.destroy(handle_);
}

bool CublasLt::start(Context& context) {
  if (handle_ != nullptr || !available()) return available();
  context.recording.interrupt();
  if (library_.functions.create(&handle_) != kSuccess) {
    handle_ = nullptr;
    unusable_ = true;
    cudaGetLastError();
  }
  return available();
}

bool CublasLt::choose(const ColumnProduct& p, Plan& plan) {
  const Functions& f = library_.functions;
  Preference preference = nullptr;
  if (!plan.describe(p) || f.preference_create(&preference) != kSuccess) return false;
  Heuristic best{};
  int found = 0;
  const bool asked = set(f.preference_set, preference, kMostWorkspaceBytes, kMostWorkspace) &&
                     set(f.preference_set, preference, kReductionSchemeMask,
                         kReduceInComputeType | kReduceInOutputType) &&
                     set(f.preference_set, preference, kLeastAlignmentA, alignment(p.a)) &&
                     set(f.preference_set, preference, kLeastAlignmentB, alignment(p.b)) &&
                     set(f.preference_set, preference, kLeastAlignmentC, alignment(p.d)) &&
                     set(f.preference_set, preference, kLeastAlignmentD, alignment(p.d)) &&
                     f.heuristic(handle_, plan.operation, plan.a, plan.b, plan.d, plan.d,
                                 preference, 1, &best, &found) == kSuccess;
  f.preference_destroy(preference);
  if (!asked || found < 1 || best.state != kSuccess || best.workspace_bytes > kMostWorkspace) {
    return false;
  }
  plan.algorithm = best.algorithm;
  plan.workspace_bytes = best.workspace_bytes;
  return true;
}

CublasLt::Plan& CublasLt::plan_of(Context& context, const ColumnProduct& p) {
  const uint32_t kind = epilogue_of(p) << 2 | (p.transpose_a ? 2u : 0u) | (p.transpose_b ? 1u : 0u);
  const uint32_t alignments = alignment(p.a) | alignment(p.b) << 8 | alignment(p.d) << 16;
  const Key key(p.m, p.n, p.k, kind, alignments);
  const auto known = plans_.find(key);
  if (known != plans_.end()) return *known->second;
  context.recording.interrupt();
  if (plans_.size() >= kMostPlans) plans_.clear();  // they would be chosen again as they were
  auto plan = std::make_unique<Plan>(library_.functions);
  plan->usable = choose(p, *plan);
  return *(plans_[key] = std::move(plan));
}

bool CublasLt::multiply(Context& context, Scope& scope, const ColumnProduct& p) {
  if (!start(context)) return false;
  Plan& plan = plan_of(context, p);
  if (!plan.usable) return false;
  void* workspace = nullptr;
  if (plan.workspace_bytes > 0)
    workspace = scope.get<char>(static_cast<int64_t>(plan.workspace_bytes));
  const float one = 1.0f, zero = 0.0f;
  plan.usable =
      plan.set_bias(p.bias) &&
      library_.functions.matmul(handle_, plan.operation, &one, p.a, plan.a, p.b, plan.b, &zero, p.d,
                                plan.d, p.d, plan.d, &plan.algorithm, workspace,
                                plan.workspace_bytes, context.stream) == kSuccess;
  if (!plan.usable)
    cudaGetLastError();  // if the device is lost, the kernel that comes instead says so
  return plan.usable;
}

}  // namespace tt::cuda
