// tt_dense_update: the CPU's bits.
#include "context.h"
#include "exact_float.h"
#include "optimizer_plan.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

struct Job {
  float* parameters;
  const float* gradients;
  float* state1;  // NULL where the optimiser has none
  float* state2;
  int64_t count;
};

template <int kKind>
__global__ void __launch_bounds__(kThreads) update_kernel(OptimizerPlan plan, Job job) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= job.count) return;
  ExactFloat w{job.parameters[i]};
  const ExactFloat g{job.gradients[i]};
  if constexpr (kKind == TT_SGD) {
    sgd_step(plan, w, g);
  } else if constexpr (kKind == TT_ADAGRAD) {
    ExactFloat s{job.state1[i]};
    adagrad_step(plan, w, g, s);
    job.state1[i] = s.v;
  } else {
    ExactFloat m{job.state1[i]}, v{job.state2[i]};
    adam_step(plan, w, g, m, v);
    job.state1[i] = m.v;
    job.state2[i] = v.v;
  }
  job.parameters[i] = w.v;
}

template <int kKind>
void run(Context& context, const OptimizerPlan& plan, const Job& job) {
  check(TT_LAUNCH((update_kernel<kKind>), grid_for(job.count, kThreads), dim3(kThreads), 0,
                  context.stream, plan, job),
        "dense_update");
}

}  // namespace

void dense_update(Context& context, const tt_optimizer* optimizer, float* parameters,
                  const float* gradients, float* state1, float* state2, int64_t count) {
  if (count == 0) return;
  const OptimizerPlan plan = make_plan(*optimizer);
  const Job job{parameters, gradients, state1, state2, count};
  switch (plan.kind) {
    case TT_SGD:
      return run<TT_SGD>(context, plan, job);
    case TT_ADAGRAD:
      return run<TT_ADAGRAD>(context, plan, job);
    case TT_ADAM:
      return run<TT_ADAM>(context, plan, job);
  }
}

}  // namespace tt::cuda
