// tt_sampled_softmax on the device.
#include "loss/dispatch.h"

namespace tt::cuda {

void sampled_softmax(Context& context, const tt_sampled_softmax_args* args) {
  loss::Problem p{};
  p.n = args->n;
  p.m = args->m;
  p.d = args->d;
  p.queries = args->queries;
  p.candidates = args->candidates;
  p.log_q = args->log_q;
  p.positives = args->positives;
  p.ids = args->candidate_ids;
  p.weights = args->weights;
  p.scale = loss::row_scale(args->weights, args->scale, args->n);
  p.inverse_temperature = args->inverse_temperature;
  p.log_inverse_temperature = args->log_inverse_temperature;
  p.bfloat16 = args->precision == TT_BFLOAT16;
  p.loss = args->loss;
  p.log_sum_exp = args->log_sum_exp;
  p.total = args->total;
  p.grad_queries = args->grad_queries;
  p.grad_candidates = args->grad_candidates;
  p.grad_inverse_temperature = args->grad_inverse_temperature;
  p.grad_log_inverse_temperature = args->grad_log_inverse_temperature;
  loss::dispatch(context, p, "sampled_softmax");
}

}  // namespace tt::cuda
