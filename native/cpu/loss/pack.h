// Brings users' rows into the kernels' layouts, as unit vectors. Local to the including file.
#ifndef TWINTAIL_CPU_LOSS_PACK_H
#define TWINTAIL_CPU_LOSS_PACK_H

#include <cmath>

#include "../transpose.h"
#include "kernels.h"

namespace tt::cpu::loss {
namespace {

constexpr double kShortest = 1e-12;  // a row shorter than this counts as the zero vector

/// A row and the two factors it is multiplied by, one after the other: their product alone might
/// leave the range of float. d = 0: a row of zeros.
struct ScaledRow {
  const float* source;
  int d;
  float inverse_norm;
  float factor;
};

/// Floats k.. of a row, zeros behind its end.
template <class M>
inline typename M::T part(const ScaledRow& row, int k, bool round) {
  using V = typename M::Vec;
  if (k >= row.d) return V::zero();
  const int left = row.d - k;
  const auto v =
      left >= V::kLanes ? V::load_unaligned(row.source + k) : V::load_part(row.source + k, left);
  const auto x = V::mul(V::mul(v, V::set1(row.inverse_norm)), V::set1(row.factor));
  return round ? V::round_bfloat16(x) : x;
}

/// Norms in double: no overflow or underflow of the squares, and cosines as exact as float allows.
template <class M>
inline float inverse_norm(const float* row, int d) {
  const double norm = std::sqrt(M::Vec::dot(row, row, d));
  return norm < kShortest ? 0.0f : static_cast<float>(1.0 / norm);
}

template <class M>
inline ScaledRow packed_row(const PackArgs& a, int r) {
  if (r >= a.count) return ScaledRow{a.source, 0, 0.0f, 0.0f};
  const float* row = a.source + static_cast<int64_t>(r) * a.d;
  a.inverse_norm[r] = inverse_norm<M>(row, a.d);
  return ScaledRow{row, a.d, a.inverse_norm[r], a.scale};
}

template <class M>
void pack_queries(const PackArgs& a) {
  auto* out = static_cast<typename M::Element*>(a.rows);
  for (int r = 0; r < M::kTileRows; ++r, out += a.stride) {
    const ScaledRow row = packed_row<M>(a, r);
    for (int k = 0; k < a.width; k += M::Vec::kLanes) {
      M::store_row(out, k, part<M>(row, k, a.round));
    }
  }
}

template <class M>
inline void pack_two_rows(void* out, int64_t stride, int pair, int width, const ScaledRow& even,
                          const ScaledRow& odd, bool round) {
  for (int k = 0; k < width; k += M::Vec::kLanes) {
    M::store_rows(static_cast<typename M::Element*>(out), stride, pair, k, part<M>(even, k, round),
                  part<M>(odd, k, round));
  }
}

template <class M>
void pack_candidates(const PackArgs& a) {
  using Element = typename M::Element;
  constexpr int kColumns = 2 * M::Vec::kLanes, kStage = 64;  // floats of d at a time
  constexpr int kPer = M::kPairs ? 2 : 1;                    // floats an element
  ScaledRow rows[kColumns];
  for (int c = 0; c < kColumns; ++c) rows[c] = packed_row<M>(a, c);
  if (a.rows != nullptr) {
    for (int c = 0; c < kColumns; c += 2) {
      pack_two_rows<M>(a.rows, a.stride, c / 2, a.width, rows[c], rows[c + 1], a.round);
    }
  }
  auto* panel = static_cast<Element*>(a.panel);
  const int depth = (a.d + kPer - 1) / kPer;
  alignas(64) Element stage[kColumns * kStage / kPer];
  for (int k0 = 0; k0 < a.width; k0 += kStage) {
    const int floats = a.width - k0 < kStage ? a.width - k0 : kStage;
    for (int c = 0; c < kColumns; ++c) {
      for (int k = 0; k < floats; k += M::Vec::kLanes) {
        M::store_row(stage + c * (kStage / kPer), k, part<M>(rows[c], k0 + k, a.round));
      }
    }
    const int left = depth - k0 / kPer;
    transpose(panel + static_cast<int64_t>(k0 / kPer) * kColumns, kColumns, stage, kStage / kPer,
              left < floats / kPer ? left : floats / kPer);
  }
}

template <class M>
void scale_queries(const ScaleArgs& a) {
  const auto row = [&](int r) {
    if (r >= a.count) return ScaledRow{a.source, 0, 0.0f, 0.0f};
    return ScaledRow{a.source + static_cast<int64_t>(r) * a.d, a.d, a.inverse_norm[r], a.factor[r]};
  };
  for (int r = 0; r < a.rows; r += 2) {
    pack_two_rows<M>(a.out, a.stride, r / 2, a.width, row(r), row(r + 1), a.round);
  }
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
