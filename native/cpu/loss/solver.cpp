#include "solver.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tt::cpu::loss {
namespace {

constexpr double kLn2 = 0.69314718055994531;
constexpr double kLog2E = 1.4426950408889634;

// Row sums reach 2^124 (see Range), so what is divided by them is lifted: without it the quotient
// would fall below float's normal range.
constexpr double kLift = 1 << 20;

const Kernels& kernels_for(const Context& context, int32_t precision) {
#if defined(__x86_64__)
  if (context.isa == Isa::avx512) {
    return precision == TT_BFLOAT16 && context.bfloat16 ? avx512bf16_kernels() : avx512_kernels();
  }
  if (context.isa == Isa::avx2) return avx2_kernels();
#endif
  return portable_kernels();
}

int64_t ceil_div(int64_t x, int64_t y) {
  return (x + y - 1) / y;
}

void* element(void* base, int64_t index) {
  return static_cast<char*>(base) + index * 4;
}

}  // namespace

RowTerm row_term(double log2_negatives, double log2_positive) {
  const double delta = (log2_negatives - log2_positive) * kLn2;
  const double small = std::exp(-std::fabs(delta));
  return RowTerm{(delta > 0 ? delta : 0.0) + std::log1p(small),
                 (delta > 0 ? 1.0 : small) / (1.0 + small)};
}

// Without bfloat16 instructions the operands are rounded to bfloat16 but multiplied as floats.
Solver::Solver(Context& context, const Problem& problem)
    : problem_(problem),
      pool_(context.pool),
      round_(problem.precision == TT_BFLOAT16),
      kernels_(kernels_for(context, problem.precision)),
      plan_(problem, kernels_),
      range_(problem),
      scope_(context.arena),
      pass_(pool_, scope_, problem_, plan_, kernels_, round_ && !kernels_.pairs),
      // The scale is always with the queries, also where they are the columns: then both directions of the
      // symmetric form see the very same scores, and e_ij / (sum of column j) is right to the last bits
      // although the two come from different passes.
      queries_{problem.queries, problem.n, static_cast<float>(range_.scale)},
      candidates_{problem.candidates, problem.m, 1.0f} {
  round_ = round_ && !kernels_.pairs;
}

double Solver::weight(int64_t i) const {
  return problem_.weights != nullptr ? problem_.scale * problem_.weights[i] : problem_.scale;
}

void Solver::weigh() {
  double largest = 1;
  if (problem_.weights != nullptr) {
    largest = 0;
    for (int64_t i = 0; i < problem_.n; ++i) {
      largest = std::max(largest, std::fabs(static_cast<double>(problem_.weights[i])));
    }
  }
  largest_weight_ = std::fabs(problem_.scale) * largest;
  relative_ = largest_weight_ > 0 ? kLift / largest_weight_ : 0.0;
  out_factor_ = static_cast<float>(largest_weight_ / kLift *
                                   static_cast<double>(problem_.inverse_temperature));
}

void Solver::run() {
  weigh();
  if (wants_gradient(problem_)) {
    columns_wanted_ = problem_.grad_candidates != nullptr;
    // The temperature's gradient falls off either side.
    rows_wanted_ = problem_.grad_queries != nullptr || !columns_wanted_;
  }
  row_loss_ = scope_.get<double>(static_cast<size_t>(problem_.n));
  if (wants_gradient(problem_)) {
    coefficient_ = scope_.get<float>(static_cast<size_t>(problem_.n));
    along_ = scope_.get<double>(
        static_cast<size_t>(rows_wanted_ ? problem_.n : std::max(problem_.n, problem_.m)));
  }
  const bool both_ways = problem_.symmetric && range_.wide;  // the exchanged views are scored too
  take_packed(queries_, both_ways, false);
  take_packed(candidates_, true, rows_wanted_);
  pack();
  if (problem_.symmetric) {
    solve_symmetric();
  } else {
    solve_directed();
  }
  if (columns_wanted_) finish_columns();
  finish_totals();
}

void Solver::take_packed(View& view, bool panels, bool rows) {
  const auto columns = static_cast<size_t>(plan_.columns);
  view.inverse_norm = scope_.get<float>(static_cast<size_t>(view.count));
  if (panels) view.panels = scope_.get<float>(columns * static_cast<size_t>(plan_.depth));
  if (rows) {
    view.rows =
        scope_.get<float>(columns / (kernels_.pairs ? 2 : 1) * static_cast<size_t>(plan_.stride));
  }
}

void Solver::pack() {
  const auto m = static_cast<size_t>(problem_.m);
  bias_ = scope_.get<float>(static_cast<size_t>(plan_.columns));
  if (columns_wanted_) {
    v_ = scope_.get<float>(static_cast<size_t>(plan_.strands) * static_cast<size_t>(plan_.columns) *
                           static_cast<size_t>(plan_.width));
    if (problem_.positives != nullptr) {
      first_row_ = scope_.get<int64_t>(m);
      next_row_ = scope_.get<int64_t>(static_cast<size_t>(problem_.n));
    }
  }
  int32_t* id_memory = nullptr;
  const auto table = static_cast<size_t>(Duplicates::table_size(problem_.m));
  if (problem_.ids != nullptr) id_memory = scope_.get<int32_t>(table + 2 * m);

  // The two lists, then some panels a block of work.
  constexpr int64_t kGroup = 4;
  pool_.run(2 + ceil_div(plan_.panels, kGroup), [&](int64_t block, int) {
    if (block == 0) {
      if (id_memory != nullptr) {
        duplicates_.build(problem_.ids, problem_.m, id_memory, id_memory + table,
                          id_memory + table + m);
      }
      return;
    }
    if (block == 1) return link_positives();
    const int64_t first = (block - 2) * kGroup;
    for (int64_t p = first; p < std::min(first + kGroup, plan_.panels); ++p) {
      if (queries_.panels != nullptr) pack_panel(queries_, p);
      pack_panel(candidates_, p);
      const int64_t column = p * kernels_.panel_columns;
      for (int64_t j = column; j < column + kernels_.panel_columns; ++j) {
        const double bias = j < problem_.m ? column_bias(j) : 0.0;
        bias_[j] = static_cast<float>(range_.wide ? bias : std::exp2(bias));
      }
    }
  });
}

void Solver::pack_panel(const View& view, int64_t panel) {
  const int64_t column = panel * kernels_.panel_columns;
  PackArgs a{};
  a.source = view.source + column * problem_.d;
  a.count = std::max<int64_t>(0, view.count - column);
  a.d = problem_.d;
  a.width = plan_.width;
  a.stride = plan_.stride;
  a.scale = view.scale;
  a.round = round_;
  a.inverse_norm = view.inverse_norm + column;
  if (view.rows != nullptr) {
    a.rows = element(view.rows, column / (kernels_.pairs ? 2 : 1) * plan_.stride);
  }
  a.panel = element(view.panels, column * plan_.depth);
  kernels_.pack_candidates(a);
}

void Solver::link_positives() {
  if (first_row_ == nullptr) return;
  std::fill_n(first_row_, problem_.m, int64_t{-1});
  for (int64_t i = problem_.n - 1; i >= 0; --i) {
    const int32_t j = problem_.positives[i];
    next_row_[i] = first_row_[j];
    first_row_[j] = i;
  }
}

double Solver::column_bias(int64_t j) const {
  return range_.shift - (problem_.log_q != nullptr ? kLog2E * problem_.log_q[j] : 0.0);
}

// With the same rounded inverse norms as all other cosines of these rows.
double Solver::positive_cosine(int64_t i) const {
  const int64_t j = positive(i);
  const double dot = kernels_.dot(problem_.queries + i * problem_.d,
                                  problem_.candidates + j * problem_.d, problem_.d);
  return dot * queries_.inverse_norm[i] * candidates_.inverse_norm[j];
}

void Solver::write_row(int64_t i, double loss, double cosine) {
  row_loss_[i] = loss;
  if (problem_.loss != nullptr) problem_.loss[i] = static_cast<float>(loss);
  if (problem_.log_sum_exp != nullptr) {
    const double s = (range_.scale * cosine + column_bias(positive(i)) - range_.shift) * kLn2;
    problem_.log_sum_exp[i] = static_cast<float>(s + loss);
  }
}

// Gradient of row i from its sum over the negatives: u * scale - coefficient * (its positive).
void Solver::finish_row(int64_t i, float* u, double scale, double coefficient) {
  const int64_t j = positive(i);
  const float inverse = queries_.inverse_norm[i];
  kernels_.accumulate(u, static_cast<float>(scale), problem_.candidates + j * problem_.d,
                      problem_.d, static_cast<float>(-coefficient * candidates_.inverse_norm[j]));
  float* out = problem_.grad_queries != nullptr ? problem_.grad_queries + i * problem_.d : nullptr;
  along_[i] =
      kernels_.project(u, problem_.queries + i * problem_.d, problem_.d, inverse, out_factor_, out);
}

void Solver::finish_columns() {
  constexpr int64_t kGroup = 64;
  const int d = problem_.d;
  const auto add_positive = [&](float* v, int64_t i) {
    kernels_.accumulate(v, 1.0f, problem_.queries + i * d, d,
                        -coefficient_[i] * queries_.inverse_norm[i]);
  };
  pool_.run(ceil_div(problem_.m, kGroup), [&](int64_t block, int) {
    const int64_t end = std::min((block + 1) * kGroup, problem_.m);
    for (int64_t j = block * kGroup; j < end; ++j) {
      float* v = v_ + j * plan_.width;
      for (int64_t s = 1; s < plan_.strands; ++s) {
        kernels_.accumulate(v, 1.0f, v + s * plan_.columns * plan_.width, d, 1.0f);
      }
      if (problem_.positives == nullptr) {
        if (j < problem_.n) add_positive(v, j);
      } else {
        for (int64_t i = first_row_[j]; i >= 0; i = next_row_[i]) add_positive(v, i);
      }
      const float inverse = candidates_.inverse_norm[j];
      const double along = kernels_.project(v, problem_.candidates + j * d, d, inverse, out_factor_,
                                            problem_.grad_candidates + j * d);
      if (!rows_wanted_) along_[j] = along;
    }
  });
}

void Solver::finish_totals() {
  if (problem_.total != nullptr) {
    double total = 0;
    for (int64_t i = 0; i < problem_.n; ++i) {
      const double w = weight(i);
      if (w != 0) total += w * row_loss_[i];
    }
    *problem_.total = total;
  }
  if (problem_.grad_inverse_temperature != nullptr ||
      problem_.grad_log_inverse_temperature != nullptr) {
    const int64_t count = rows_wanted_ ? problem_.n : problem_.m;
    double sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += along_[i];
    const double gradient = sum * (largest_weight_ / kLift);
    if (problem_.grad_inverse_temperature != nullptr)
      *problem_.grad_inverse_temperature = static_cast<float>(gradient);
    if (problem_.grad_log_inverse_temperature != nullptr) {
      *problem_.grad_log_inverse_temperature =
          static_cast<float>(gradient * static_cast<double>(problem_.inverse_temperature));
    }
  }
}

void solve(Context& context, const Problem& problem) {
  Solver(context, problem).run();
}

}  // namespace tt::cpu::loss
