// tt_contrastive on the CPU: the same core without log_q, positives on the diagonal.
#include "context.h"
#include "problem.h"

namespace tt::cpu {

void contrastive(Context& context, const tt_contrastive_args& args) {
  loss::check_finite("weights", args.weights, args.m);
  loss::Problem p{};
  p.n = args.m;
  p.m = args.m;
  p.d = args.d;
  p.queries = args.view1;
  p.candidates = args.view2;
  p.ids = args.ids;
  p.weights = args.weights;
  p.scale = args.weights != nullptr ? args.scale
                                    : static_cast<double>(args.scale) / static_cast<double>(args.m);
  p.inverse_temperature = args.inverse_temperature;
  p.symmetric = args.symmetric != 0;
  p.precision = args.precision;
  p.loss = args.loss;
  p.total = args.total;
  p.grad_queries = args.grad_view1;
  p.grad_candidates = args.grad_view2;
  p.grad_inverse_temperature = args.grad_inverse_temperature;
  loss::solve(context, p);
}

}  // namespace tt::cpu
