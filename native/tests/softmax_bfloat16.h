// Judges the losses in bfloat16. The oracle has the very operands that the products had, so losses, of which nothing
// else is rounded, must be as good as in float32; gradients may be off by the rounding of the weights, row by row.
#ifndef TWINTAIL_TESTS_SOFTMAX_BFLOAT16_H
#define TWINTAIL_TESTS_SOFTMAX_BFLOAT16_H

#include "softmax_harness.h"

namespace softmax {

/// What a backend rounds, besides the unit rows of candidates.
struct Rounding {
  bool scaled;   // queries of scores times log2(e) / tau, not as unit rows
  bool weights;  // what a pair's exponential is, as a factor in gradients
  bool
      factors;  // queries times their own factors in candidates' gradients, but for the symmetric form
  bool positives;  // go through the products too, but for queries' gradients of the directed form

  /// products: bfloat16 instructions rather than rounded floats.
  static Rounding cpu(bool products) { return {true, products, true, false}; }
  static Rounding cuda(bool products = true) { return {false, products, false, true}; }
};

inline float to_bfloat16(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;  // to nearest, ties to even
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// factor * unit rows, rounded, over factor. In float, as backends take them.
inline std::vector<double> rounded_rows(const std::vector<float>& x, int d, float factor = 1) {
  std::vector<double> rows;
  const auto width = static_cast<size_t>(d);
  for (size_t i = 0; i < x.size(); i += width) {
    double square = 0;
    for (size_t k = 0; k < width; ++k) square += static_cast<double>(x[i + k]) * x[i + k];
    const float inverse = square < 1e-24 ? 0.0f : static_cast<float>(1 / std::sqrt(square));
    for (size_t k = 0; k < width; ++k)
      rows.push_back(static_cast<double>(to_bfloat16(x[i + k] * inverse * factor)) / factor);
  }
  return rows;
}

inline Operands operands_of(const Input& in, const Rounding& rounding) {
  const double scale = 1.4426950408889634 * static_cast<double>(in.inverse_temperature);
  Operands o;
  o.score_queries =
      rounded_rows(in.queries, in.d, rounding.scaled ? static_cast<float>(scale) : 1.0f);
  o.candidates = rounded_rows(in.candidates, in.d);
  o.queries = rounding.factors && !in.symmetric ? UnitRows<double>(in.queries, in.n, in.d).unit
                                                : rounded_rows(in.queries, in.d);
  return o;
}

/// How far gradients may be off, of unit rows: [n], [m], and the temperature's.
struct GradientBounds {
  std::vector<double> queries, candidates;
  double temperature = 0;
};

/// A sum of weights times rows, when each weight is off by a share of itself: off by at most that share of the
/// weights' absolute sum, times the longest row. negative, positive: the roundings, of 2^-8 of themselves each, that
/// pairs go through; by row, and by column. exact: the share that weights are off in float32.
inline GradientBounds bounds_of(const Input& in, const Output<double>& oracle, int row_negative,
                                int row_positive, int column_negative, int column_positive,
                                double exact) {
  const double rounding = std::ldexp(1 + std::ldexp(1.0, -8), -8);  // of rows that are rounded, too
  GradientBounds b;
  b.queries.assign(static_cast<size_t>(in.n), 0.0);
  b.candidates.assign(static_cast<size_t>(in.m), 0.0);
  for (size_t i = 0; i < b.queries.size(); ++i) {
    for (size_t j = 0; j < b.candidates.size(); ++j) {
      const size_t pair = i * b.candidates.size() + j;
      const bool positive = static_cast<int64_t>(j) == in.positive(static_cast<int64_t>(i));
      const double g = std::fabs(oracle.score_gradient[pair]);
      const double row = g * (exact + rounding * (positive ? row_positive : row_negative));
      const double column = g * (exact + rounding * (positive ? column_positive : column_negative));
      b.queries[i] += static_cast<double>(in.inverse_temperature) * row;
      b.candidates[j] += static_cast<double>(in.inverse_temperature) * column;
      b.temperature += row * std::fabs(oracle.cosine[pair]);
    }
  }
  return b;
}

/// The lengths of the errors of all rows, times the rows' own lengths. Rows of zeros have none.
template <class Real>
std::vector<double> gradient_errors(const std::vector<Real>& x, const std::vector<double>& oracle,
                                    const UnitRows<double>& rows, int d) {
  std::vector<double> errors;
  for (size_t i = 0; i < rows.inverse.size(); ++i) {
    double square = 0;
    for (size_t k = i * static_cast<size_t>(d); k < (i + 1) * static_cast<size_t>(d); ++k)
      square += std::pow(static_cast<double>(x[k]) - oracle[k], 2);
    errors.push_back(rows.inverse[i] == 0 ? 0.0 : std::sqrt(square) / rows.inverse[i]);
  }
  return errors;
}

template <class Real>
double largest_error(const std::vector<Real>& x, const std::vector<double>& oracle,
                     const UnitRows<double>& rows, int d) {
  const std::vector<double> errors = gradient_errors(x, oracle, rows, d);
  return *std::max_element(errors.begin(), errors.end());
}

/// slack: for every row, what the bounds do not know of.
template <class Real>
void expect_within(const std::vector<Real>& x, const std::vector<double>& oracle,
                   const UnitRows<double>& rows, int d, const std::vector<double>& bounds,
                   double slack, const char* what) {
  const std::vector<double> errors = gradient_errors(x, oracle, rows, d);
  for (size_t i = 0; i < errors.size(); ++i) {
    EXPECT_TRUE(errors[i] <= bounds[i] + slack)
        << what << " of row " << i << " is off by " << errors[i] << ", at most " << bounds[i]
        << " + " << slack << " was allowed";
  }
}

inline void expect_matches_bfloat16(const Input& in, const Result& x, const Rounding& rounding) {
  const Operands operands = operands_of(in, rounding);
  const Output<double> oracle = reference<double>(in, &operands);
  const Output<float> plain = reference<float>(in, &operands);
  const std::vector<double> none;
  // As in expect_matches: twice the error of plain float, and what rounding logits costs anybody.
  const double logit_unit = std::ldexp(4 + oracle.largest_logit, -24);
  const auto expect_near = [&](const std::vector<float>& actual, const std::vector<double>& right,
                               const std::vector<float>& by_float, const char* what) {
    EXPECT_LE(row_error(actual, right, none, 1),
              2 * row_error(by_float, right, none, 1) + 4 * logit_unit)
        << what;
  };
  ASSERT_EQ(x.loss.size(), oracle.loss.size());
  expect_near(x.loss, oracle.loss, plain.loss, "loss");
  if (!x.log_sum_exp.empty())
    expect_near(x.log_sum_exp, oracle.log_sum_exp, plain.log_sum_exp, "log_sum_exp");
  double weight_sum = 0;
  for (int64_t i = 0; i < in.n; ++i) weight_sum += std::fabs(in.weight(i));
  EXPECT_NEAR(x.total[0], oracle.total,
              (2 * row_error(plain.loss, oracle.loss, none, 1) + 4 * logit_unit) * weight_sum);

  const GradientBounds bounds = bounds_of(
      in, oracle, rounding.weights, rounding.positives && in.symmetric ? rounding.weights + 1 : 0,
      rounding.weights + (rounding.factors && !in.symmetric),
      rounding.positives ? rounding.weights + 1 : 0, 4 * logit_unit);
  const UnitRows<double> q(in.queries, in.n, in.d), c(in.candidates, in.m, in.d);
  const auto expect_gradient = [&](const std::vector<float>& actual,
                                   const std::vector<double>& right,
                                   const std::vector<float>& by_float, const UnitRows<double>& rows,
                                   const std::vector<double>& allowed, const char* what) {
    expect_within(actual, right, rows, in.d, allowed,
                  2 * largest_error(by_float, right, rows, in.d), what);
  };
  expect_gradient(x.grad_queries, oracle.grad_queries, plain.grad_queries, q, bounds.queries,
                  "the queries' gradient");
  expect_gradient(x.grad_candidates, oracle.grad_candidates, plain.grad_candidates, c,
                  bounds.candidates, "the candidates' gradient");
  const double term = row_error(plain.temperature_terms, oracle.temperature_terms, none, 1);
  EXPECT_NEAR(x.grad_inverse_temperature[0], oracle.grad_inverse_temperature,
              bounds.temperature + 2 * term * static_cast<double>(in.n));
}

}  // namespace softmax
#endif
