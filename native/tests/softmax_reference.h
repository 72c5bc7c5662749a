// The losses written out plainly, as their definitions read, in any precision: double is the oracle,
// float is the yardstick for float32 kernels ("at most twice its error").
#ifndef TWINTAIL_TESTS_SOFTMAX_REFERENCE_H
#define TWINTAIL_TESTS_SOFTMAX_REFERENCE_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <vector>

namespace softmax {

struct Input {
  int64_t n = 0, m = 0;
  int d = 0;
  std::vector<float> queries, candidates;  // [n, d], [m, d]
  std::vector<float> log_q;                // [m] or empty
  std::vector<int32_t> positives;          // [n] or empty
  std::vector<int32_t> ids;                // [m] or empty
  std::vector<float> weights;              // [n] or empty
  float inverse_temperature = 20;
  std::vector<float> log_inverse_temperature;  // [1]: a learnt one; empty: inverse_temperature
  float scale = 1;
  bool symmetric = false;
  int32_t precision = 0;  // tt_dtype

  int64_t positive(int64_t i) const {
    return positives.empty() ? i : positives[static_cast<size_t>(i)];
  }
  double weight(int64_t i) const {
    return static_cast<double>(scale) *
           (weights.empty() ? 1.0 / static_cast<double>(n) : weights[static_cast<size_t>(i)]);
  }
};

template <class Real>
struct Output {
  std::vector<Real> loss, log_sum_exp;              // [n]
  std::vector<Real> grad_queries, grad_candidates;  // [n, d], [m, d]
  std::vector<Real> temperature_terms;              // [n], their sum is the gradient
  std::vector<Real> share;  // [n], 1 - p(positive): how much gradient a row can have at all
  std::vector<Real> cosine, score_gradient;  // [n, m], of what counts; d total / d s_ij
  // Of those that count: the largest |logit|, or sum of a cosine's absolute terms / tau. Terms, or cosine and
  // log_q, may cancel; what rounding them cost does not.
  Real largest_logit = 0;
  double total = 0;
  Real grad_inverse_temperature = 0;
};

template <class Real>
struct UnitRows {
  UnitRows(const std::vector<float>& x, int64_t rows, int d) : unit(x.begin(), x.end()) {
    for (int64_t i = 0; i < rows; ++i) {
      Real square = 0;
      Real* row = unit.data() + i * d;
      for (int k = 0; k < d; ++k) square += row[k] * row[k];
      const Real norm = std::sqrt(square);
      inverse.push_back(norm < Real(1e-12) ? Real(0) : Real(1) / norm);
      for (int k = 0; k < d; ++k) row[k] *= inverse.back();
    }
  }
  std::vector<Real> unit, inverse;
};

// out = (g - (g . u) u) / |x|
template <class Real>
void through_norm(const UnitRows<Real>& rows, int d, std::vector<Real>& g) {
  for (size_t i = 0; i < rows.inverse.size(); ++i) {
    Real* row = g.data() + i * static_cast<size_t>(d);
    const Real* unit = rows.unit.data() + i * static_cast<size_t>(d);
    Real along = 0;
    for (int k = 0; k < d; ++k) along += row[k] * unit[k];
    for (int k = 0; k < d; ++k) row[k] = (row[k] - along * unit[k]) * rows.inverse[i];
  }
}

/// What a backend multiplies in place of unit rows: the parts that negatives have in scores and gradients.
struct Operands {
  std::vector<double> score_queries, candidates;  // [n, d], [m, d]: cosines, queries' gradients
  std::vector<double> queries;                    // [n, d]: candidates' gradients
};

/// operands: of the products, or NULL: unit rows. Positives are exact either way.
template <class Real>
Output<Real> reference(const Input& in, const Operands* operands = nullptr) {
  const auto n = static_cast<size_t>(in.n), m = static_cast<size_t>(in.m);
  const auto d = static_cast<size_t>(in.d);
  const Real minus_infinity = -std::numeric_limits<Real>::infinity();
  const UnitRows<Real> q(in.queries, in.n, in.d), c(in.candidates, in.m, in.d);
  const auto operand = [&](std::vector<double> Operands::*rows, const UnitRows<Real>& exact) {
    if (operands == nullptr) return exact.unit;
    return std::vector<Real>((operands->*rows).begin(), (operands->*rows).end());
  };
  const std::vector<Real> score_queries = operand(&Operands::score_queries, q),
                          product_queries = operand(&Operands::queries, q),
                          candidates = operand(&Operands::candidates, c);
  Output<Real> out;
  std::vector<Real>& cosine = out.cosine;
  cosine.resize(n * m);
  std::vector<Real> s(n * m);
  for (size_t i = 0; i < n; ++i) {
    const auto pos = static_cast<size_t>(in.positive(static_cast<int64_t>(i)));
    for (size_t j = 0; j < m; ++j) {
      const Real* x = (j == pos ? q.unit : score_queries).data() + i * d;
      const Real* y = (j == pos ? c.unit : candidates).data() + j * d;
      Real sum = 0, terms = 0;
      for (size_t k = 0; k < d; ++k) {
        sum += x[k] * y[k];
        terms += std::fabs(x[k] * y[k]);
      }
      cosine[i * m + j] = sum;
      const bool hit = !in.ids.empty() && j != pos && in.ids[j] == in.ids[pos];
      const Real scaled = Real(in.inverse_temperature) * sum;
      const Real logit = scaled - (in.log_q.empty() ? Real(0) : Real(in.log_q[j]));
      s[i * m + j] = hit ? minus_infinity : logit;
      if (hit) continue;
      out.largest_logit =
          std::max({out.largest_logit, Real(in.inverse_temperature) * terms, std::fabs(logit)});
    }
  }

  // One softmax over `count` scores `step` apart; adds weight * (p - [is positive]) to g, and -log p(positive) to loss.
  std::vector<Real>& g = out.score_gradient;
  g.assign(n * m, Real(0));
  const auto softmax = [&](size_t start, size_t step, size_t count, size_t positive, Real weight,
                           Real& share, Real& loss) {
    Real most = minus_infinity, sum = 0;
    for (size_t k = 0; k < count; ++k) most = std::max(most, s[start + k * step]);
    for (size_t k = 0; k < count; ++k) sum += std::exp(s[start + k * step] - most);
    Real others = 0, p_positive = 0;
    for (size_t k = 0; k < count; ++k) {
      const Real p = std::exp(s[start + k * step] - most) / sum;
      if (k == positive) {
        p_positive = p;
      } else {
        others += p;
        g[start + k * step] += weight * p;
      }
    }
    // Plain code takes p - 1, and the difference of the logarithms; the oracle must not suffer from p near 1.
    constexpr bool kOracle = std::is_same_v<Real, double>;
    g[start + positive * step] += weight * (kOracle ? -others : p_positive - Real(1));
    share += others;
    const Real log_sum_exp = most + std::log(sum);
    loss += kOracle && others < Real(0.5) ? -std::log1p(-others)
                                          : log_sum_exp - s[start + positive * step];
    return log_sum_exp;
  };
  const Real half = in.symmetric ? Real(0.5) : Real(1);
  for (size_t i = 0; i < n; ++i) {
    const auto pos = static_cast<size_t>(in.positive(static_cast<int64_t>(i)));
    const auto w = static_cast<Real>(in.weight(static_cast<int64_t>(i)));
    Real share = 0, loss = 0;
    const Real by_row = softmax(i * m, 1, m, pos, half * w, share, loss);
    if (in.symmetric) {
      softmax(i, m, n, i, half * w, share, loss);
      loss /= Real(2);
    }
    out.share.push_back(std::min(share, Real(1)));
    out.log_sum_exp.push_back(by_row);
    out.loss.push_back(loss);
    if (w != 0) out.total += static_cast<double>(w) * static_cast<double>(loss);
  }

  out.grad_queries.assign(n * d, 0);
  out.grad_candidates.assign(m * d, 0);
  for (size_t i = 0; i < n; ++i) {
    const auto pos = static_cast<size_t>(in.positive(static_cast<int64_t>(i)));
    Real term = 0;
    for (size_t j = 0; j < m; ++j) {
      const Real x = g[i * m + j] * Real(in.inverse_temperature);
      const Real* to_query = (j == pos ? c.unit : candidates).data() + j * d;
      const Real* to_candidate = (j == pos ? q.unit : product_queries).data() + i * d;
      term += g[i * m + j] * cosine[i * m + j];
      for (size_t k = 0; k < d; ++k) {
        out.grad_queries[i * d + k] += x * to_query[k];
        out.grad_candidates[j * d + k] += x * to_candidate[k];
      }
    }
    if (operands != nullptr) {  // then it is what the row's gradient has along the row
      term = 0;
      for (size_t k = 0; k < d; ++k) term += out.grad_queries[i * d + k] * q.unit[i * d + k];
      term /= Real(in.inverse_temperature);
    }
    out.temperature_terms.push_back(term);
    out.grad_inverse_temperature += term;
  }
  through_norm(q, in.d, out.grad_queries);
  through_norm(c, in.d, out.grad_candidates);
  return out;
}

}  // namespace softmax
#endif
