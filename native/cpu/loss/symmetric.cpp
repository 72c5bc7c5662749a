// The mean of both directions' softmax losses: contrastive with symmetric = 1.
//
// One pass gives the sums of rows and columns, a second one merges both gradients:
//   d total / d s_ij = e_ij (w_i share_i / (2 rowsum_i) + w_j share_j / (2 columnsum_j)),
// 8 n^2 d flops; two one-sided losses would take 12.
#include <algorithm>
#include <cmath>
#include <limits>

#include "solver.h"

namespace tt::cpu::loss {
namespace {

double log2_or_nothing(double sum) {
  return sum == 0 ? -std::numeric_limits<double>::infinity() : std::log2(sum);
}

}  // namespace

void Solver::solve_symmetric() {
  const auto n = static_cast<size_t>(problem_.n);
  const bool gradient = wants_gradient(problem_);
  double* row_log2 = scope_.get<double>(n);
  double* column_log2 = scope_.get<double>(n);
  symmetric_sums(row_log2, column_log2);
  if (gradient) {
    const auto take = [&](float*& pointer, int64_t count) {
      pointer = scope_.get<float>(static_cast<size_t>(count));
      std::fill_n(pointer, count, 0.0f);
    };
    take(row_factor_, plan_.rows);
    take(column_factor_, plan_.columns);
    take(row_shift_, plan_.rows);
    take(column_shift_, plan_.columns);
  }
  constexpr int64_t kGroup = 128;
  pool_.run((problem_.n + kGroup - 1) / kGroup, [&](int64_t block, int) {
    const int64_t end = std::min((block + 1) * kGroup, problem_.n);
    for (int64_t i = block * kGroup; i < end; ++i) symmetric_term(i, row_log2[i], column_log2[i]);
  });
  if (!gradient) return;

  PassInput input = directed_input(range_.wide ? Epilogue::given_both_wide : Epilogue::given_both);
  input.row_factor = row_factor_;
  input.column_factor = column_factor_;
  input.column_shift = column_shift_;
  input.row_products = rows_wanted_;
  input.v = v_;
  pass_.run(input, [&](const Block& block) {
    for (int r = 0; r < block.count; ++r) {
      const int64_t i = block.first_row + r;
      block.scale[r] = 1.0f;
      if (rows_wanted_) {
        finish_row(i, block.u + r * static_cast<int64_t>(plan_.width), 1.0, coefficient_[i]);
      }
    }
  });
}

// log2 of the sums over the negatives of each row and each column.
void Solver::symmetric_sums(double* row_log2, double* column_log2) {
  const auto online_rows = [&](double* out) {
    return [this, out](const Block& block) {
      for (int r = 0; r < block.count; ++r) {
        const int64_t lane = static_cast<int64_t>(r) * kernels_.lanes;
        float most = 0;
        const double sum = kernels_.reduce(block.sums + lane, block.maxima + lane, &most);
        out[block.first_row + r] = log2_or_nothing(sum) + most;
      }
    };
  };
  if (range_.wide) {
    PassInput input = directed_input(Epilogue::online);
    pass_.run(input, online_rows(row_log2));
    std::swap(input.queries, input.candidates);
    pass_.run(input, online_rows(column_log2));
    return;
  }
  PassInput input = directed_input(Epilogue::sum_columns);
  const int64_t column_sums = plan_.strands * plan_.columns;
  input.column_sums = scope_.get<double>(static_cast<size_t>(column_sums));
  std::fill_n(input.column_sums, column_sums, 0.0);
  pass_.run(input, [&](const Block& block) {
    for (int r = 0; r < block.count; ++r) {
      const int64_t lane = static_cast<int64_t>(r) * kernels_.lanes;
      row_log2[block.first_row + r] =
          log2_or_nothing(kernels_.reduce(block.sums + lane, nullptr, nullptr));
    }
  });
  for (int64_t j = 0; j < problem_.m; ++j) {
    double sum = 0;
    for (int64_t s = 0; s < plan_.strands; ++s) sum += input.column_sums[s * plan_.columns + j];
    column_log2[j] = log2_or_nothing(sum);
  }
}

void Solver::symmetric_term(int64_t i, double row_log2, double column_log2) {
  const double cosine = positive_cosine(i);
  const double log2_positive = range_.scale * cosine + range_.shift;
  const RowTerm row = row_term(row_log2, log2_positive);
  const RowTerm column = row_term(column_log2, log2_positive);
  write_row(i, 0.5 * (row.loss + column.loss), cosine);
  if (!wants_gradient(problem_)) return;

  const double half = 0.5 * relative_weight(i);
  coefficient_[i] = static_cast<float>(half * (row.share + column.share));
  // share / sum as 2^-shift * factor: with a whole number as shift nothing is lost to rounding it.
  const auto split = [&](double share, double log2_sum, float* shift, float* factor) {
    if (std::isinf(log2_sum)) return;  // no negatives, and share is 0
    const double whole = range_.wide ? std::floor(log2_sum) : 0.0;
    *shift = static_cast<float>(whole);
    *factor = static_cast<float>(half * share * std::exp2(whole - log2_sum));
  };
  split(row.share, row_log2, &row_shift_[i], &row_factor_[i]);
  split(column.share, column_log2, &column_shift_[i], &column_factor_[i]);
}

}  // namespace tt::cpu::loss
