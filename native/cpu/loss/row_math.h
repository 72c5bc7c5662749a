// Vector arithmetic on single rows: what is left beside the three products. Local to the including
// file.
#ifndef TWINTAIL_CPU_LOSS_ROW_MATH_H
#define TWINTAIL_CPU_LOSS_ROW_MATH_H

#include <cmath>

#include "kernels.h"

namespace tt::cpu::loss {
namespace {

template <class V>
double dot(const float* x, const float* y, int d) {
  return V::dot(x, y, d);
}

template <class V>
inline typename V::T part_of(const float* row, int d, int k) {
  return d - k >= V::kLanes ? V::load_unaligned(row + k) : V::load_part(row + k, d - k);
}

/// sum = a * sum + b * x
template <class V>
void accumulate(float* sum, float a, const float* x, int d, float b) {
  const auto va = V::set1(a), vb = V::set1(b);
  for (int k = 0; k < d; k += V::kLanes) {
    V::store(sum + k, V::fma(vb, part_of<V>(x, d, k), V::mul(va, V::load(sum + k))));
  }
}

/// out = inverse_norm * factor * (g - (g . u) u), u = inverse_norm * x; returns g . u.
template <class V>
double project(const float* g, const float* x, int d, float inverse_norm, float factor,
               float* out) {
  // u itself, not x and the norm after it: of a row as long as floats go g . x is more than one holds. Nor both factors at
  // once: that is less than one holds with all its bits.
  const auto inverse = V::set1(inverse_norm);
  const auto unit = [&](int k) { return V::mul(inverse, part_of<V>(x, d, k)); };
  auto sum = V::zero();
  for (int k = 0; k < d; k += V::kLanes) sum = V::fma(V::load(g + k), unit(k), sum);
  const float along = V::sum(sum);
  if (out != nullptr) {
    const auto f = V::set1(factor), minus = V::set1(-along);
    for (int k = 0; k < d; k += V::kLanes) {
      const auto y = V::mul(inverse, V::mul(f, V::fma(minus, unit(k), V::load(g + k))));
      if (d - k >= V::kLanes) {
        V::store_unaligned(out + k, y);
      } else {
        V::store_part(out + k, y, d - k);
      }
    }
  }
  return along;
}

template <class V>
double reduce(const float* sums, const float* maxima, float* maximum) {
  double total = 0;
  if (maxima == nullptr) {
    double part[4] = {0, 0, 0, 0};
    for (int l = 0; l < V::kLanes; ++l) part[l % 4] += sums[l];
    return (part[0] + part[2]) + (part[1] + part[3]);
  }
  float most = maxima[0];
  for (int l = 1; l < V::kLanes; ++l) most = maxima[l] > most ? maxima[l] : most;
  for (int l = 0; l < V::kLanes; ++l) {
    total += sums[l] * std::exp2(static_cast<double>(maxima[l]) - most);
  }
  *maximum = most;
  return total;
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
