// The optimisers' arithmetic, for one float or for a vector of them. Host and device.
#ifndef TWINTAIL_CORE_OPTIMIZER_PLAN_H
#define TWINTAIL_CORE_OPTIMIZER_PLAN_H

#include <math.h>
#include <stdint.h>

#include "philox.h"
#include "twintail.h"

namespace tt {

/// A checked tt_optimizer with everything that is the same for all weights; may be a kernel's argument.
struct OptimizerPlan {
  int32_t kind;
  float learning_rate;
  float epsilon;
  float weight_decay;
  float beta1, beta2;
  float rest1, rest2;        // 1 - beta
  float step_size;           // learning_rate / (1 - beta1^t)
  float inverse_root_bias2;  // 1 / sqrt(1 - beta2^t)
  int64_t step;
};

inline OptimizerPlan make_plan(const tt_optimizer& o) {
  OptimizerPlan p = {};
  p.kind = o.kind;
  p.learning_rate = o.learning_rate;
  p.epsilon = o.epsilon;
  p.weight_decay = o.weight_decay;
  p.beta1 = o.beta1;
  p.beta2 = o.beta2;
  p.rest1 = static_cast<float>(1.0 - static_cast<double>(o.beta1));
  p.rest2 = static_cast<float>(1.0 - static_cast<double>(o.beta2));
  p.step = o.step;
  if (o.kind == TT_ADAM) {
    const double t = static_cast<double>(o.step);
    p.step_size = static_cast<float>(static_cast<double>(o.learning_rate) /
                                     (1.0 - pow(static_cast<double>(o.beta1), t)));
    p.inverse_root_bias2 =
        static_cast<float>(1.0 / sqrt(1.0 - pow(static_cast<double>(o.beta2), t)));
  }
  return p;
}

/// How a constant becomes a T: vectors have T::all.
template <class T>
struct Broadcast {
  TT_HD static T of(float x) { return T::all(x); }
};
template <>
struct Broadcast<float> {
  TT_HD static float of(float x) { return x; }
};

TT_HD float square_root(float x) {
  return sqrtf(x);
}

/// The gradient with weight decay, for all but Adam.
template <class T>
TT_HD T decayed_gradient(const OptimizerPlan& p, T w, T g) {
  return p.weight_decay == 0.0f ? g : g + Broadcast<T>::of(p.weight_decay) * w;
}

template <class T>
TT_HD void sgd_step(const OptimizerPlan& p, T& w, T g) {
  w = w - Broadcast<T>::of(p.learning_rate) * decayed_gradient(p, w, g);
}

/// Duchi et al., "Adaptive subgradient methods", JMLR 2011 (diagonal form).
template <class T>
TT_HD void adagrad_step(const OptimizerPlan& p, T& w, T g, T& s) {
  g = decayed_gradient(p, w, g);
  s = s + g * g;
  w = w - Broadcast<T>::of(p.learning_rate) * g / (square_root(s) + Broadcast<T>::of(p.epsilon));
}

/// One state for a row; s: already grown by the mean of g^2 over the row; g: with decay.
template <class T>
TT_HD void rowwise_adagrad_step(const OptimizerPlan& p, T& w, T g, float s) {
  w = w - Broadcast<T>::of(p.learning_rate / (square_root(s) + p.epsilon)) * g;
}

/// Kingma and Ba, "Adam", ICLR 2015, with decoupled decay (Loshchilov and Hutter, ICLR 2019).
template <class T>
TT_HD void adam_step(const OptimizerPlan& p, T& w, T g, T& m, T& v) {
  m = Broadcast<T>::of(p.beta1) * m + Broadcast<T>::of(p.rest1) * g;
  v = Broadcast<T>::of(p.beta2) * v + Broadcast<T>::of(p.rest2) * (g * g);
  if (p.weight_decay != 0.0f) {
    w = w - Broadcast<T>::of(p.learning_rate * p.weight_decay) * w;
  }
  w = w -
      Broadcast<T>::of(p.step_size) * m /
          (square_root(v) * Broadcast<T>::of(p.inverse_root_bias2) + Broadcast<T>::of(p.epsilon));
}

/// The four draws that round columns [4 * group, 4 * group + 4) of a bfloat16 row.
TT_HD PhiloxBlock rounding_draws(int64_t step, int32_t row, uint32_t group) {
  return philox(philox_counter(group, static_cast<uint32_t>(row), step, 0, 0, TT_DRAW_ROUNDING),
                philox_key(0, 0));
}

/// x as bfloat16 bits, rounded up with the probability of the part that is cut off.
TT_HD uint16_t round_stochastically(float x, uint32_t draw) {
  union {
    float f;
    uint32_t u;
  } bits;
  bits.f = x;
  if ((bits.u & 0x7F800000u) == 0x7F800000u) {  // infinities stay, NaN stays NaN
    return static_cast<uint16_t>((bits.u >> 16) | ((bits.u & 0xFFFFu) != 0 ? 0x40u : 0u));
  }
  return static_cast<uint16_t>((bits.u + (draw & 0xFFFFu)) >> 16);
}

}  // namespace tt
#endif
