// Included by linear_kernels_<isa>.cpp only. Plain loops, which compilers turn into vectors of the file's
// instruction set.
#include "linear_kernels.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

void finish(int64_t rows, int32_t out, const float* bias, bool relu, float* y) {
  for (int64_t i = 0; i < rows; ++i, y += out) {
    if (bias != nullptr) {
      for (int32_t j = 0; j < out; ++j) y[j] += bias[j];
    }
    if (relu) {
      for (int32_t j = 0; j < out; ++j) y[j] = y[j] < 0.0f ? 0.0f : y[j];
    }
  }
}

void mask(int64_t count, const float* y, const float* grad, float* masked) {
  for (int64_t i = 0; i < count; ++i) {
    const float g = grad[i];  // read whatever y is: a condition on a load cannot be vectorised
    masked[i] = y[i] > 0.0f ? g : 0.0f;
  }
}

void add_columns(int64_t rows, int32_t columns, const float* matrix, bool first, float* sums) {
  constexpr int32_t kStrip = 64;
  for (int32_t begin = 0; begin < columns; begin += kStrip) {
    const int32_t width = columns - begin < kStrip ? columns - begin : kStrip;
    double strip[kStrip] = {};
    const float* row = matrix + begin;
    if (width == kStrip) {
      for (int64_t i = 0; i < rows; ++i, row += columns) {
        for (int32_t j = 0; j < kStrip; ++j) strip[j] += static_cast<double>(row[j]);
      }
    } else {
      for (int64_t i = 0; i < rows; ++i, row += columns) {
        for (int32_t j = 0; j < width; ++j) strip[j] += static_cast<double>(row[j]);
      }
    }
    for (int32_t j = 0; j < width; ++j) {
      const double before = first ? 0.0 : static_cast<double>(sums[begin + j]);
      sums[begin + j] = static_cast<float>(before + strip[j]);
    }
  }
}

void add(int64_t count, const float* partial, float* total) {
  for (int64_t i = 0; i < count; ++i) total[i] += partial[i];
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
