// One row's step of each optimiser, on float32 or bfloat16 weights. Included by merge_kernels.inl only.
#include "merge_kernels.h"
#include "twintail.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

/// Loads and stores of whole vectors, or of the first `n` lanes where Tail.
template <bool Tail>
Vec16 load_part(const float* p, int n) {
  if constexpr (Tail) return Vec16::load(p, n);
  return Vec16::load(p);
}
template <bool Tail>
void store_part(Vec16 v, float* p, int n) {
  if constexpr (Tail) {
    v.store(p, n);
  } else {
    v.store(p);
  }
}

/// Calls f<Tail>(first column, columns) for each vector of a row.
template <class F>
void for_vectors(int64_t dim, F&& f) {
  int64_t column = 0;
  for (; column + 16 <= dim; column += 16) f.template operator()<false>(column, 16);
  if (column < dim) f.template operator()<true>(column, static_cast<int>(dim - column));
}

/// A row of weights in float32 or bfloat16, read and written by vectors.
struct Float32Row {
  float* w;

  template <bool Tail>
  Vec16 load(int64_t column, int n) const {
    return load_part<Tail>(w + column, n);
  }
  template <bool Tail>
  void store(Vec16 v, int64_t column, int n) const {
    store_part<Tail>(v, w + column, n);
  }
};

struct Bfloat16Row {
  uint16_t* w;
  int64_t step;
  int32_t row;

  template <bool Tail>
  Vec16 load(int64_t column, int n) const {
    if constexpr (Tail) return Vec16::load_bf16(w + column, n);
    return Vec16::load_bf16(w + column);
  }
  template <bool Tail>
  void store(Vec16 v, int64_t column, int n) const {
    float values[16];
    v.store(values);
    PhiloxBlock draws = {};
    for (int i = 0; i < n; ++i) {
      const auto c = static_cast<uint32_t>(column) + static_cast<uint32_t>(i);
      if (c % 4 == 0) draws = rounding_draws(step, row, c / 4);
      w[c] = round_stochastically(values[i], draws.v[c % 4]);
    }
  }
};

template <class Row>
struct SgdUpdate {
  const OptimizerPlan& plan;
  Row row;
  const float* gradient;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    Vec16 w = row.template load<Tail>(c, n);
    sgd_step(plan, w, load_part<Tail>(gradient + c, n));
    row.template store<Tail>(w, c, n);
  }
};

template <class Row>
struct AdagradUpdate {
  const OptimizerPlan& plan;
  Row row;
  const float* gradient;
  float* state;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    Vec16 w = row.template load<Tail>(c, n);
    Vec16 s = load_part<Tail>(state + c, n);
    adagrad_step(plan, w, load_part<Tail>(gradient + c, n), s);
    store_part<Tail>(s, state + c, n);
    row.template store<Tail>(w, c, n);
  }
};

/// First pass of row-wise Adagrad: the sum of squares. Absent lanes are 0 and add nothing.
template <class Row>
struct SquareSum {
  const OptimizerPlan& plan;
  Row row;
  const float* gradient;
  Vec16& squares;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    const Vec16 g =
        decayed_gradient(plan, row.template load<Tail>(c, n), load_part<Tail>(gradient + c, n));
    squares = squares + g * g;
  }
};

template <class Row>
struct RowwiseAdagradUpdate {
  const OptimizerPlan& plan;
  Row row;
  const float* gradient;
  float state;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    Vec16 w = row.template load<Tail>(c, n);
    const Vec16 g = decayed_gradient(plan, w, load_part<Tail>(gradient + c, n));
    rowwise_adagrad_step(plan, w, g, state);
    row.template store<Tail>(w, c, n);
  }
};

template <class Row>
struct AdamUpdate {
  const OptimizerPlan& plan;
  Row row;
  const float* gradient;
  float* state1;
  float* state2;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    Vec16 w = row.template load<Tail>(c, n);
    Vec16 m = load_part<Tail>(state1 + c, n);
    Vec16 v = load_part<Tail>(state2 + c, n);
    adam_step(plan, w, load_part<Tail>(gradient + c, n), m, v);
    store_part<Tail>(m, state1 + c, n);
    store_part<Tail>(v, state2 + c, n);
    row.template store<Tail>(w, c, n);
  }
};

template <class Row>
void update_row(const MergeTarget& t, Row row, int64_t dim, int32_t id, const float* gradient) {
  const int64_t at = id * dim;
  switch (t.plan.kind) {
    case TT_SGD:
      return for_vectors(dim, SgdUpdate<Row>{t.plan, row, gradient});
    case TT_ADAGRAD:
      return for_vectors(dim, AdagradUpdate<Row>{t.plan, row, gradient, t.state1 + at});
    case TT_ROWWISE_ADAGRAD: {
      Vec16 squares = Vec16::zero();
      for_vectors(dim, SquareSum<Row>{t.plan, row, gradient, squares});
      t.state1[id] = t.state1[id] + sum(squares) / static_cast<float>(dim);
      return for_vectors(dim, RowwiseAdagradUpdate<Row>{t.plan, row, gradient, t.state1[id]});
    }
    case TT_ADAM:
      return for_vectors(dim, AdamUpdate<Row>{t.plan, row, gradient, t.state1 + at, t.state2 + at});
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
