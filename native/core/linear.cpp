// tt_linear, tt_linear_backward.
#include "handles.h"

namespace tt {
namespace {

void check_shape(int64_t n, int32_t in, int32_t out, int32_t activation) {
  check::at_least("n", n, 0);
  check::at_least("in", in, 1);
  check::at_least("out", out, 1);
  check::between("activation", activation, TT_LINEAR, TT_RELU);
  check::addressable("n", n, in, 4);
  check::addressable("n", n, out, 4);
}

}  // namespace
}  // namespace tt

tt_status tt_linear(tt_context* context, int64_t n, int32_t in, int32_t out, const float* x,
                    const float* weights, const float* bias, int32_t activation, float* y) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check_shape(n, in, out, activation);
    if (n == 0) return;
    tt::check::pointer("x", x);
    tt::check::pointer("weights", weights);
    tt::check::pointer("y", y);
    session.call(session.backend().linear, n, in, out, x, weights, bias, activation, y);
  });
}

tt_status tt_linear_backward(tt_context* context, int64_t n, int32_t in, int32_t out,
                             const float* x, const float* weights, int32_t activation,
                             const float* y, const float* grad_y, float* grad_x,
                             float* grad_weights, float* grad_bias) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check_shape(n, in, out, activation);
    if (n > 0) {
      tt::check::pointer("grad_y", grad_y);
      if (activation == TT_RELU) tt::check::pointer("y", y);
      if (grad_x != nullptr) tt::check::pointer("weights", weights);
      if (grad_weights != nullptr) tt::check::pointer("x", x);
    }
    session.call(session.backend().linear_backward, n, in, out, x, weights, activation, y, grad_y,
                 grad_x, grad_weights, grad_bias);
  });
}
