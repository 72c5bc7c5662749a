// The other two products: row_products (rows of U from e and candidates) and column_products (rows
// of V from e, read down its columns, and scaled queries). Local to the including file.
#ifndef TWINTAIL_CPU_LOSS_PRODUCT_TILE_H
#define TWINTAIL_CPU_LOSS_PRODUCT_TILE_H

#include "kernels.h"

namespace tt::cpu::loss {
namespace {

/// What a tile asks for while it multiplies, one cache line of each at every step of the sum.
struct Upcoming {
  const char* read;
  const char* written;
};

/// out[kRows][kVectors vectors] += (fresh: =) sum over panels and depth of weights * operand row. Weights step
/// by kRowStep from one result row to the next and by kDepthStep along the sum.
template <class M, int kRows, int kVectors, int kRowStep, int kDepthStep, bool kAsks>
__attribute__((noinline)) void product_tile(const typename M::Element* weights, int panels,
                                            int64_t panel_stride, int64_t depth,
                                            const typename M::Element* operand, int64_t stride,
                                            float* out, int64_t out_stride, bool fresh,
                                            Upcoming upcoming) {
  using V = typename M::Vec;
  // Accumulators, the operand's vectors and one weight: where they are too many, the last vector is read from memory
  // for each row instead. Otherwise an accumulator would be, and its sum would wait for the store of the step before.
  constexpr bool kFull = kRows * kVectors + kVectors + 1 > V::kRegisters;
  constexpr int kHeld = kFull ? kVectors - 1 : kVectors;
  typename M::T x[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      x[i][v] = fresh ? V::zero() : V::load(out + i * out_stride + v * V::kLanes);
    }
  }
  for (int p = 0; p < panels; ++p) {
    const typename M::Element* w = weights + p * panel_stride;
    for (int64_t k = 0; k < depth; ++k) {
      if constexpr (kAsks) {
        __builtin_prefetch(upcoming.read + 64 * k, 0, 2);
        __builtin_prefetch(upcoming.written + 64 * k, 1, 2);
      }
      typename M::Operand b[kHeld];
#pragma GCC unroll 4
      for (int v = 0; v < kHeld; ++v) b[v] = M::load(operand + v * V::kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const auto a = M::broadcast(w + i * kRowStep);
#pragma GCC unroll 4
        for (int v = 0; v < kHeld; ++v) x[i][v] = M::madd(x[i][v], a, b[v]);
        if constexpr (kFull) {
          x[i][kHeld] = M::madd_loaded(x[i][kHeld], a, operand + kHeld * V::kLanes);
        }
      }
      operand += stride;
      w += kDepthStep;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) V::store(out + i * out_stride + v * V::kLanes, x[i][v]);
  }
}

// ---- row_products -------------------------------------------------------------------------------

/// Seven rows by four vectors take a fifth fewer instructions than fourteen by two.
template <class M, int kVectors>
void row_slice(const ProductArgs& a, int column) {
  using Element = typename M::Element;
  constexpr int kColumns = 2 * M::Vec::kLanes;
  constexpr int kRows = kVectors <= 2 ? M::kTileRows : M::kTileRows / 2;
  constexpr int kRowElements = M::kPairs ? kColumns / 2 : kColumns;
  const int64_t rows = static_cast<int64_t>(a.row_tiles) * M::kTileRows;
  const auto* weights = static_cast<const Element*>(a.weights);
  const Element* operand = static_cast<const Element*>(a.operand) + column;
  for (int64_t r = 0; r < rows; r += kRows) {
    product_tile<M, kRows, kVectors, kRowElements, 1, false>(
        weights + r * kRowElements, a.panels, rows * kRowElements, kRowElements, operand, a.stride,
        a.out + r * a.out_stride + column, a.out_stride, a.fresh, Upcoming{});
  }
}

template <class M>
void row_products(const ProductArgs& a) {
  constexpr int kLanes = M::Vec::kLanes;
  int column = 0;
  if constexpr (M::kProductVectors == 4) {
    for (; column + 4 * kLanes <= a.width; column += 4 * kLanes) row_slice<M, 4>(a, column);
  }
  for (; column + 2 * kLanes <= a.width; column += 2 * kLanes) row_slice<M, 2>(a, column);
  if (column < a.width) row_slice<M, 1>(a, column);
}

// ---- column_products: slices as wide as the registers allow -----------------------------------

/// Result rows that a slice of kVectors vectors leaves accumulators for.
template <class M>
constexpr int most_rows(int vectors) {
  constexpr int kSums = M::Vec::kRegisters - 4;
  return kSums / vectors < 16 ? kSums / vectors : 16;
}

/// Bytes that each of a panel's tiles asks for of `bytes`: whole cache lines, all of them by the end.
inline int64_t share_of_tile(int64_t bytes, int64_t tiles) {
  return (bytes / 64 + tiles - 1) / tiles * 64;
}

/// Columns [kFirst, panel_columns) in groups as equal as possible: 7 7 6 6 6 for 32.
template <class M, int kVectors, int kFirst, int kGroup>
inline void column_groups(const ProductArgs& a, int column) {
  using Element = typename M::Element;
  constexpr int kColumns = 2 * M::Vec::kLanes, kLeft = kColumns - kFirst;
  if constexpr (kLeft > 0) {
    constexpr int kMost = most_rows<M>(kVectors);
    constexpr int kGroups = (kLeft + kMost - 1) / kMost;
    constexpr int kRows = (kLeft + kGroups - 1) / kGroups;
    const int64_t rows = static_cast<int64_t>(a.row_tiles) * M::kTileRows;
    const int64_t depth = M::kPairs ? rows / 2 : rows;
    float* out = a.out + kFirst * a.out_stride + column;
    // The next panel of e and of V comes from L2 at best: V is long, and its lines may be with the core
    // that owned the block before. Each tile asks for its share. (Past the end it is a hint without effect.)
    constexpr int64_t kTiles = kGroup + kGroups;
    const int64_t tiles =
        kTiles * ((a.width + kVectors * M::Vec::kLanes - 1) / (kVectors * M::Vec::kLanes));
    const int64_t tile = kGroup + kTiles * (column / (kVectors * M::Vec::kLanes));
    const int64_t read = 4 * depth * kColumns, written = 4 * a.out_stride * kColumns;
    const Upcoming upcoming{
        static_cast<const char*>(a.weights) + read + tile * share_of_tile(read, tiles),
        reinterpret_cast<const char*>(a.out) + written + tile * share_of_tile(written, tiles)};
    product_tile<M, kRows, kVectors, 1, kColumns, true>(
        static_cast<const Element*>(a.weights) + kFirst, 1, 0, depth,
        static_cast<const Element*>(a.operand) + column, a.stride, out, a.out_stride, a.fresh,
        upcoming);
    column_groups<M, kVectors, kFirst + kRows, kGroup + 1>(a, column);
  }
}

template <class M>
void column_products(const ProductArgs& a) {
  constexpr int kLanes = M::Vec::kLanes, kWidest = M::kProductVectors;
  int column = 0;
  while (column < a.width) {
    const int left = (a.width - column) / kLanes;  // vectors
    int vectors = left < kWidest ? left : kWidest;
    if (left == kWidest + 1 && kWidest == 4) vectors = 3;  // 3 + 2 rather than 4 + 1
    if constexpr (kWidest == 4) {
      if (vectors == 4) column_groups<M, 4, 0, 0>(a, column);
      if (vectors == 3) column_groups<M, 3, 0, 0>(a, column);
    }
    if (vectors == 2) column_groups<M, 2, 0, 0>(a, column);
    if (vectors == 1) column_groups<M, 1, 0, 0>(a, column);
    column += vectors * kLanes;
  }
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
