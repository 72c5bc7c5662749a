// The first product and what is done to its tile while it is in registers: bias, exponential, masks,
// sums. Local to the including file.
#ifndef TWINTAIL_CPU_LOSS_SCORE_TILE_H
#define TWINTAIL_CPU_LOSS_SCORE_TILE_H

#include "kernels.h"

namespace tt::cpu::loss {
namespace {

constexpr float kFarBelow = -1e30f;  // stands for minus infinity; differences stay finite

/// What of a panel and of a row tile the epilogue reads and writes.
template <class M>
struct TileView {
  const float* bias;
  const uint32_t* dropped;
  float* sums;
  float* maxima;
  float* column_sums;
  const float* row_shift;
  const float* row_factor;
  const float* column_shift;
  const float* column_factor;
  typename M::Element* weights;
  typename M::Element* pairs;
  // One cache line of each is asked for at every step along the depth.
  const char* next_panel;
  const char* upcoming;
};

/// Two vectors of one row, t in and e out.
template <class M, Epilogue kEpilogue, bool kMarked>
inline __attribute__((always_inline)) void finish_row(const TileView<M>& tile, int row,
                                                      typename M::T (&x)[2],
                                                      typename M::T (&column_sums)[2]) {
  using V = typename M::Vec;
  using T = typename M::T;
  constexpr int kLanes = V::kLanes;
  T shift{}, factor{}, running{};
  if constexpr (kEpilogue == Epilogue::given_row || kEpilogue == Epilogue::given_both_wide) {
    shift = V::set1(tile.row_shift[row]);
  }
  if constexpr (kEpilogue == Epilogue::given_both || kEpilogue == Epilogue::given_both_wide) {
    factor = V::set1(tile.row_factor[row]);
  }

#pragma GCC unroll 2
  for (int v = 0; v < 2; ++v) {
    x[v] = V::add(x[v], V::load(tile.bias + v * kLanes));
    if constexpr (kEpilogue == Epilogue::online && kMarked) {
      x[v] = V::replace(x[v], tile.dropped[row] >> (v * kLanes), V::set1(kFarBelow));
    }
  }
  if constexpr (kEpilogue == Epilogue::online) {
    // Each lane keeps a maximum of its own: no reduction, no branch, for half an exponential more.
    const T before = V::load(tile.maxima + row * kLanes);
    shift = V::max(V::max(x[0], x[1]), before);
    V::store(tile.maxima + row * kLanes, shift);
    running = V::exp2_any(V::sub(before, shift));
  }

#pragma GCC unroll 2
  for (int v = 0; v < 2; ++v) {
    if constexpr (kEpilogue == Epilogue::online || kEpilogue == Epilogue::given_row) {
      x[v] = V::exp2_any(V::sub(x[v], shift));
    } else if constexpr (kEpilogue == Epilogue::given_both) {
      const T both = V::add(factor, V::load(tile.column_factor + v * kLanes));
      x[v] = V::mul(V::exp2(x[v]), both);
    } else if constexpr (kEpilogue == Epilogue::given_both_wide) {
      const T by_column = V::exp2_any(V::sub(x[v], V::load(tile.column_shift + v * kLanes)));
      const T by_row = V::exp2_any(V::sub(x[v], shift));
      x[v] = V::fma(by_column, V::load(tile.column_factor + v * kLanes), V::mul(by_row, factor));
    } else {
      x[v] = V::exp2(x[v]);
    }
    if constexpr (kMarked) {
      x[v] = V::replace(x[v], tile.dropped[row] >> (v * kLanes), V::zero());
    }
    if constexpr (kEpilogue == Epilogue::sum_columns) {
      column_sums[v] = V::add(column_sums[v], x[v]);
    }
  }

  const T both = V::add(x[0], x[1]);
  if constexpr (kEpilogue == Epilogue::online) {
    const T sum = V::load(tile.sums + row * kLanes);
    V::store(tile.sums + row * kLanes, V::fma(sum, running, both));
  } else if constexpr (kEpilogue == Epilogue::sum || kEpilogue == Epilogue::sum_store ||
                       kEpilogue == Epilogue::sum_columns || kEpilogue == Epilogue::given_row) {
    V::store(tile.sums + row * kLanes, V::add(V::load(tile.sums + row * kLanes), both));
  }
}

constexpr bool stores(Epilogue e) {
  return e == Epilogue::sum_store || e == Epilogue::given_row || e == Epilogue::given_both ||
         e == Epilogue::given_both_wide;
}

template <class M, Epilogue kEpilogue, bool kMarked>
__attribute__((noinline)) void score_tile(const typename M::Element* queries, int64_t stride,
                                          const typename M::Element* candidates, int depth,
                                          const TileView<M>& tile) {
  using V = typename M::Vec;
  using T = typename M::T;
  using Element = typename M::Element;
  constexpr int kRows = M::kTileRows, kLanes = V::kLanes;
  constexpr int kBases = (kRows + 2) / 3;  // x86 addresses base, base + stride and base + 2 stride
  T x[kRows][2];
#pragma GCC unroll 32
  for (int i = 0; i < kRows; ++i) {
    x[i][0] = V::zero();
    x[i][1] = V::zero();
  }
  const Element* base[kBases];
#pragma GCC unroll 8
  for (int b = 0; b < kBases; ++b) base[b] = queries + 3 * b * stride;
  for (int k = 0; k < depth; ++k) {
    __builtin_prefetch(tile.next_panel + 64 * k, 0, 2);
    __builtin_prefetch(tile.upcoming + 64 * k, 0, 2);
    const auto c0 = M::load(candidates);
    const auto c1 = M::load(candidates + kLanes);
#pragma GCC unroll 32
    for (int i = 0; i < kRows; ++i) {
      const auto q = M::broadcast(base[i / 3] + (i % 3) * stride);
      x[i][0] = M::madd(x[i][0], q, c0);
      x[i][1] = M::madd(x[i][1], q, c1);
    }
#pragma GCC unroll 8
    for (int b = 0; b < kBases; ++b) ++base[b];
    candidates += 2 * kLanes;
  }

  T column_sums[2] = {V::zero(), V::zero()};
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i += 2) {
    finish_row<M, kEpilogue, kMarked>(tile, i, x[i], column_sums);
    finish_row<M, kEpilogue, kMarked>(tile, i + 1, x[i + 1], column_sums);
    if constexpr (stores(kEpilogue)) {
      M::store_weights(tile.weights, tile.pairs, i, x[i], x[i + 1]);
    }
  }
  if constexpr (kEpilogue == Epilogue::sum_columns) {
    V::store(tile.column_sums, V::add(V::load(tile.column_sums), column_sums[0]));
    V::store(tile.column_sums + kLanes, V::add(V::load(tile.column_sums + kLanes), column_sums[1]));
  }
}

/// p + count, and NULL stays NULL.
template <class P>
inline P* forward(P* p, int64_t count) {
  return p == nullptr ? nullptr : p + count;
}

/// The r-th of `tiles` shares of a panel, in whole cache lines.
inline const char* share(const void* panel, int64_t bytes, int64_t r, int64_t tiles) {
  const int64_t lines = (bytes / 64 + tiles - 1) / tiles;
  return static_cast<const char*>(panel) + r * lines * 64;
}

template <class M, Epilogue kEpilogue>
void scores(const ScoreArgs& a) {
  using Element = typename M::Element;
  constexpr int kRows = M::kTileRows, kLanes = M::Vec::kLanes, kColumns = 2 * kLanes;
  constexpr int kRowElements = M::kPairs ? kColumns / 2 : kColumns;  // of weights
  const int64_t rows = static_cast<int64_t>(a.row_tiles) * kRows;
  const auto* queries = static_cast<const Element*>(a.queries);
  const auto* candidates = static_cast<const Element*>(a.candidates);
  for (int64_t p = 0; p < a.panels; ++p) {
    for (int64_t r = 0; r < a.row_tiles; ++r) {
      const int64_t row = r * kRows, column = p * kColumns;
      TileView<M> tile;
      tile.bias = a.bias + column;
      tile.dropped = a.dropped + p * rows + row;
      tile.sums = forward(a.sums, row * kLanes);
      tile.maxima = forward(a.maxima, row * kLanes);
      tile.column_sums = forward(a.column_sums, column);
      tile.row_shift = forward(a.row_shift, row);
      tile.row_factor = forward(a.row_factor, row);
      tile.column_shift = forward(a.column_shift, column);
      tile.column_factor = forward(a.column_factor, column);
      tile.weights = forward(static_cast<Element*>(a.weights), (p * rows + row) * kRowElements);
      tile.pairs = forward(static_cast<Element*>(a.weight_pairs), (p * rows + row) * kRowElements);
      const Element* q = queries + row * a.query_stride;
      const Element* c = candidates + column * a.depth;
      const int64_t panel_bytes = 4 * a.depth * kColumns;
      tile.next_panel = share(c + a.depth * kColumns, panel_bytes, r, a.row_tiles);
      const int64_t upcoming = kRowElements * a.upcoming_stride;
      tile.upcoming = a.upcoming != nullptr
                          ? share(static_cast<const Element*>(a.upcoming) + p * upcoming,
                                  4 * upcoming, r, a.row_tiles)
                          : tile.next_panel;
      if (a.marked[p * a.row_tiles + r] != 0) {
        score_tile<M, kEpilogue, true>(q, a.query_stride, c, a.depth, tile);
      } else {
        score_tile<M, kEpilogue, false>(q, a.query_stride, c, a.depth, tile);
      }
    }
  }
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
