// What tests of a pass of the losses have in place of the stages around it.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "loss/stages.h"

namespace loss_test {

/// A problem of rows [n, d] alone, to have them packed.
inline tt::cuda::loss::Problem problem_of_rows(const float* rows, int n, int d) {
  tt::cuda::loss::Problem p{};
  p.n = n;
  p.d = d;
  p.queries = rows;
  p.inverse_temperature = 1.0f;
  return p;
}
inline tt::cuda::loss::Side side_of(void* packed, float* inverse_norm) {
  tt::cuda::loss::Side side{};
  side.packed = packed;
  side.inverse_norm = inverse_norm;
  return side;
}

/// Outputs [splits, rows] of a pass, products [splits, rows, width]; empty where there are none.
struct Outputs {
  std::vector<float> sums, maxima, products;
};

inline Outputs add_splits(const Outputs& all, std::size_t rows, int splits, std::size_t width) {
  Outputs r;
  if (!all.sums.empty()) r.sums.resize(rows);
  if (!all.maxima.empty()) r.maxima.resize(rows);
  r.products.resize(rows * width);
  for (std::size_t row = 0; row < rows; row++) {
    float most = -std::numeric_limits<float>::infinity();
    const auto at = [&](int split) { return static_cast<std::size_t>(split) * rows + row; };
    for (int s = 0; s < splits && !all.maxima.empty(); s++)
      most = std::max(most, all.maxima[at(s)]);
    if (!all.maxima.empty()) r.maxima[row] = most;
    for (int s = 0; s < splits; s++) {
      const float factor = std::isinf(most) ? 1.0f : std::exp2(all.maxima[at(s)] - most);
      if (!all.sums.empty()) r.sums[row] += factor * all.sums[at(s)];
      for (std::size_t k = 0; k < width; k++)
        r.products[row * width + k] += factor * all.products[at(s) * width + k];
    }
  }
  return r;
}

}  // namespace loss_test
