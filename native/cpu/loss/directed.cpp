// One softmax for each row: sampled_softmax, and contrastive from view 1 to view 2.
#include <algorithm>
#include <cmath>
#include <limits>

#include "solver.h"

namespace tt::cpu::loss {

// With a constant shift one pass does it all. Where the range is too wide for one, a first pass finds
// the rows' maxima; for the loss alone it also sums, relative to them, and that is all.
void Solver::solve_directed() {
  const bool gradient = wants_gradient(problem_);
  const auto finish = [&](const Block& block) {
    for (int r = 0; r < block.count; ++r) directed_row(block, r, gradient);
  };
  if (!range_.wide) {
    return pass_.run(directed_input(gradient ? Epilogue::sum_store : Epilogue::sum), finish);
  }
  if (!gradient) return pass_.run(directed_input(Epilogue::online), finish);

  row_shift_ = scope_.get<float>(static_cast<size_t>(plan_.rows));
  std::fill_n(row_shift_, plan_.rows, 0.0f);
  pass_.run(directed_input(Epilogue::online), [&](const Block& block) {
    for (int r = 0; r < block.count; ++r) {
      const int64_t lane = static_cast<int64_t>(r) * kernels_.lanes;
      float most = 0;
      const double sum = kernels_.reduce(block.sums + lane, block.maxima + lane, &most);
      if (sum != 0) row_shift_[block.first_row + r] = most;  // 0: nothing but the positive is left
    }
  });
  pass_.run(directed_input(Epilogue::given_row), finish);
}

PassInput Solver::directed_input(Epilogue epilogue) const {
  PassInput input{};
  input.epilogue = epilogue;
  input.queries = &queries_;
  input.candidates = &candidates_;
  input.bias = bias_;
  input.row_shift = row_shift_;
  input.positives = problem_.positives;
  input.duplicates = problem_.ids != nullptr ? &duplicates_ : nullptr;
  if (epilogue == Epilogue::sum_store || epilogue == Epilogue::given_row) {
    input.row_products = rows_wanted_;
    input.v = v_;
  }
  return input;
}

void Solver::directed_row(const Block& block, int r, bool gradient) {
  const int64_t i = block.first_row + r;
  const int64_t lane = static_cast<int64_t>(r) * kernels_.lanes;
  // Maxima are those of this pass, or were taken as its shift.
  float most = row_shift_ != nullptr ? row_shift_[i] : 0.0f;
  const bool online = range_.wide && !gradient;
  const double sum =
      kernels_.reduce(block.sums + lane, online ? block.maxima + lane : nullptr, &most);
  const double log2_negatives =
      sum == 0 ? -std::numeric_limits<double>::infinity() : std::log2(sum) + most;
  const double cosine = positive_cosine(i);
  const RowTerm term = row_term(log2_negatives, range_.scale * cosine + column_bias(positive(i)));
  write_row(i, term.loss, cosine);
  if (!gradient) return;

  // d total / d s_ij = w_i e_ij share / sum for a negative, and minus their sum for the positive.
  const double coefficient = relative_weight(i) * term.share;
  const double scale = sum == 0 ? 0.0 : coefficient / sum;
  coefficient_[i] = static_cast<float>(coefficient);
  block.scale[r] = static_cast<float>(scale);
  if (rows_wanted_)
    finish_row(i, block.u + r * static_cast<int64_t>(plan_.width), scale, coefficient);
}

}  // namespace tt::cpu::loss
