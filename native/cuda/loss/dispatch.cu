#include "loss/dispatch.h"

namespace tt::cuda::loss {

static_assert(static_cast<int>(Kernels::kPlain) == static_cast<int>(Engine::kPlain) &&
                  static_cast<int>(Kernels::kHopper) == static_cast<int>(Engine::kHopper),
              "the kernels that a context allows are the losses' engines");

void dispatch(Context& context, const Problem& problem, const char* op) {
  if (problem.n > kMostRows || problem.m > kMostRows) {
    unsupported(
        format("%s on CUDA takes at most %lld rows", op, static_cast<long long>(kMostRows)));
  }
  const Device& device = context.device;
  const Engine engine = best_engine(problem, static_cast<Engine>(context.kernels),
                                    device.capability, device.shared_bytes_per_block);
  Scope scope(context.workspace);
  char* memory = scope.get<char>(workspace_bytes(problem, engine, device.multiprocessors));
  check(solve(problem, engine, device.multiprocessors, memory, context.stream), op);
}

}  // namespace tt::cuda::loss
