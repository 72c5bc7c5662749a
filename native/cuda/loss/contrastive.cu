// tt_contrastive on the device: the same core without log_q, positives on the diagonal.
#include "loss/dispatch.h"

namespace tt::cuda {

void contrastive(Context& context, const tt_contrastive_args* args) {
  loss::Problem p{};
  p.n = args->m;
  p.m = args->m;
  p.d = args->d;
  p.queries = args->view1;
  p.candidates = args->view2;
  p.ids = args->ids;
  p.weights = args->weights;
  p.scale = loss::row_scale(args->weights, args->scale, args->m);
  p.inverse_temperature = args->inverse_temperature;
  p.symmetric = args->symmetric != 0;
  p.bfloat16 = args->precision == TT_BFLOAT16;
  p.loss = args->loss;
  p.total = args->total;
  p.grad_queries = args->grad_view1;
  p.grad_candidates = args->grad_view2;
  p.grad_inverse_temperature = args->grad_inverse_temperature;
  loss::dispatch(context, p, "contrastive");
}

}  // namespace tt::cuda
