// What the stages behind a pass of the losses do with its splits, here on the host.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace loss_test {

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
