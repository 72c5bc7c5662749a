#include "loss/dispatch.h"

namespace tt::cuda::loss {

void dispatch(Context& context, const Problem& problem, const char* op) {
  if (problem.n > kMostRows || problem.m > kMostRows) {
    unsupported(
        format("%s on CUDA takes at most %lld rows", op, static_cast<long long>(kMostRows)));
  }
  const Device& device = context.device;
  const Engine engine = context.plain_kernels ? Engine::kPlain
                                              : best_engine(problem, device.capability,
                                                            device.shared_bytes_per_block);
  Scope scope(context.workspace);
  char* memory = scope.get<char>(workspace_bytes(problem, engine, device.multiprocessors));
  check(solve(problem, engine, device.multiprocessors, memory, context.stream), op);
}

}  // namespace tt::cuda::loss
