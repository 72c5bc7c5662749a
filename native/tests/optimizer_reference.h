// The optimisers' formulas from twintail.h, one weight at a time.
#ifndef TWINTAIL_TESTS_OPTIMIZER_REFERENCE_H
#define TWINTAIL_TESTS_OPTIMIZER_REFERENCE_H

#include "harness.h"

namespace tt_test {

inline tt_optimizer make_optimizer(int32_t kind, float weight_decay = 0, int64_t step = 1) {
  tt_optimizer o{};
  o.struct_size = sizeof o;
  o.kind = kind;
  o.learning_rate = 0.05f;
  o.epsilon = 1e-6f;
  o.beta1 = 0.9f;
  o.beta2 = 0.99f;
  o.weight_decay = weight_decay;
  o.step = step;
  return o;
}

inline const char* optimizer_name(int32_t kind) {
  switch (kind) {
    case TT_SGD:
      return "SGD";
    case TT_ADAGRAD:
      return "Adagrad";
    case TT_ROWWISE_ADAGRAD:
      return "row-wise Adagrad";
    default:
      return "Adam";
  }
}

inline int states_of(int32_t kind) {
  return kind == TT_SGD ? 0 : kind == TT_ADAM ? 2 : 1;
}

/// Updates one row of weights w [dim]; s1, s2: its states (s1 [1] for row-wise Adagrad).
template <class Real>
void reference_update(const tt_optimizer& o, Real* w, const Real* gradient, Real* s1, Real* s2,
                      int32_t dim) {
  const auto lr = static_cast<Real>(o.learning_rate);
  const auto epsilon = static_cast<Real>(o.epsilon);
  const auto decay = static_cast<Real>(o.weight_decay);
  const auto b1 = static_cast<Real>(o.beta1);
  const auto b2 = static_cast<Real>(o.beta2);
  const auto t = static_cast<Real>(o.step);
  Real squares = 0;
  for (int32_t c = 0; c < dim; ++c) {
    const Real g = gradient[c] + decay * w[c];
    squares += g * g;
  }
  if (o.kind == TT_ROWWISE_ADAGRAD) s1[0] += squares / static_cast<Real>(dim);
  for (int32_t c = 0; c < dim; ++c) {
    const Real g = gradient[c] + decay * w[c];
    switch (o.kind) {
      case TT_SGD:
        w[c] -= lr * g;
        break;
      case TT_ADAGRAD:
        s1[c] += g * g;
        w[c] -= lr * g / (std::sqrt(s1[c]) + epsilon);
        break;
      case TT_ROWWISE_ADAGRAD:
        w[c] -= lr * g / (std::sqrt(s1[0]) + epsilon);
        break;
      case TT_ADAM: {
        s1[c] = b1 * s1[c] + (1 - b1) * gradient[c];
        s2[c] = b2 * s2[c] + (1 - b2) * gradient[c] * gradient[c];
        const Real m = s1[c] / (1 - std::pow(b1, t));
        const Real v = s2[c] / (1 - std::pow(b2, t));
        w[c] -= lr * decay * w[c];
        w[c] -= lr * m / (std::sqrt(v) + epsilon);
        break;
      }
    }
  }
}

}  // namespace tt_test
#endif
