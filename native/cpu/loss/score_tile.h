// The first product and what is done to its tile while it is in registers: bias, exponential, masks,
// sums. Local to the including file.
#ifndef TWINTAIL_CPU_LOSS_SCORE_TILE_H
#define TWINTAIL_CPU_LOSS_SCORE_TILE_H

#include "exp2_constants.h"
#include "kernels.h"

namespace tt::cpu::loss {
namespace {

constexpr float kFarBelow = -1e30f;  // stands for minus infinity; differences stay finite

/// What of a panel and of a row tile the epilogue reads and writes.
template <class M>
struct TileView {
  const float* bias;
  const float* powers;  // coefficients of the columns' exponentials, see column_powers
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
};

/// Whether 2^bias is multiplied into the exponentials rather than bias added to the scores. It is where
/// float holds both: one instruction less for each score, and no rounding of t + bias.
constexpr bool scales_columns(Epilogue e) {
  return e == Epilogue::sum || e == Epilogue::sum_store || e == Epilogue::sum_columns ||
         e == Epilogue::given_both;
}

/// Two vectors of one row, t in and e out. (See exp2_of_two_rows for where e is in already.)
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

  if constexpr (scales_columns(kEpilogue)) {
    if constexpr (!V::kSharesCoefficients) V::exp2_scaled(x, tile.powers);
  } else {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) {
      x[v] = V::add(x[v], V::load(tile.bias + v * kLanes));
      if constexpr (kEpilogue == Epilogue::online && kMarked) {
        x[v] = V::replace(x[v], tile.dropped[row] >> (v * kLanes), V::set1(kFarBelow));
      }
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
      x[v] = V::mul(x[v], V::add(factor, V::load(tile.column_factor + v * kLanes)));
    } else if constexpr (kEpilogue == Epilogue::given_both_wide) {
      const T by_column = V::exp2_any(V::sub(x[v], V::load(tile.column_shift + v * kLanes)));
      const T by_row = V::exp2_any(V::sub(x[v], shift));
      x[v] = V::fma(by_column, V::load(tile.column_factor + v * kLanes), V::mul(by_row, factor));
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

/// The first step along the depth of two rows of a tile; queries goes on to the next two.
template <class M>
inline __attribute__((always_inline)) void start_two_rows(const typename M::Element*& queries,
                                                          int64_t stride,
                                                          const typename M::Element* candidates,
                                                          typename M::T (&even)[2],
                                                          typename M::T (&odd)[2]) {
  const auto c0 = M::load(candidates);
  const auto c1 = M::load(candidates + M::Vec::kLanes);
  const auto q = M::broadcast(queries);
  const auto r = M::broadcast(queries + stride);
  even[0] = M::multiply(q, c0);
  even[1] = M::multiply(q, c1);
  odd[0] = M::multiply(r, c0);
  odd[1] = M::multiply(r, c1);
  queries += 2 * stride;
  // Otherwise seven addresses are kept at once, on the stack.
  asm("" : "+r"(queries));
}

/// The other steps, of all rows. One cache line of each of next_panel and upcoming, if there is one,
/// is asked for at every step.
template <class M, bool kUpcoming>
inline __attribute__((always_inline)) void multiply_tile(
    const typename M::Element* queries, int64_t stride, const typename M::Element* candidates,
    int depth, const char* next_panel, const char* upcoming, typename M::T (&x)[M::kTileRows][2]) {
  using Element = typename M::Element;
  constexpr int kRows = M::kTileRows, kLanes = M::Vec::kLanes;
  constexpr int kBases = (kRows + 2) / 3;  // x86 addresses base, base + stride and base + 2 stride
  const Element* base[kBases];
#pragma GCC unroll 8
  for (int b = 0; b < kBases; ++b) base[b] = queries + 3 * b * stride;
  for (int k = 1; k < depth; ++k) {
    __builtin_prefetch(next_panel + 64 * k, 0, 2);
    if constexpr (kUpcoming) __builtin_prefetch(upcoming + 64 * k, 0, 2);
    candidates += 2 * kLanes;
    const auto c0 = M::load(candidates);
    const auto c1 = M::load(candidates + kLanes);
#pragma GCC unroll 8
    for (int b = 0; b < kBases; ++b) ++base[b];
#pragma GCC unroll 32
    for (int i = 0; i < kRows; ++i) {
      const auto q = M::broadcast(base[i / 3] + (i % 3) * stride);
      x[i][0] = M::madd(x[i][0], q, c0);
      x[i][1] = M::madd(x[i][1], q, c1);
    }
  }
}

/// Coefficients are vectors, and loading them for each row takes longer than multiplying by them does.
/// So two rows share them, where there are registers for it.
template <class M>
inline __attribute__((always_inline)) void exp2_of_two_rows(const float* powers, bool share,
                                                            typename M::T (&even)[2],
                                                            typename M::T (&odd)[2]) {
  using V = typename M::Vec;
  if (share) {
    V::exp2_scaled_rows(even[0], odd[0], powers);
    V::exp2_scaled_rows(even[1], odd[1], powers + V::kLanes);
  } else {
    V::exp2_scaled(even, powers);
    V::exp2_scaled(odd, powers);
  }
}

/// The end of a tile, and the first step of the panel's next one in between: the exponentials are
/// long chains of dependent instructions, which leave multipliers idle that others can use.
template <class M, Epilogue kEpilogue, bool kMarked>
inline __attribute__((always_inline)) void finish_tile(const TileView<M>& tile,
                                                       const typename M::Element* next_queries,
                                                       int64_t stride,
                                                       const typename M::Element* candidates,
                                                       typename M::T (&x)[M::kTileRows][2]) {
  using V = typename M::Vec;
  constexpr int kRows = M::kTileRows, kLanes = V::kLanes;
  // Two rows start again only after the exponentials of the next two, which have their registers until then.
  constexpr bool kLate = V::kSharesCoefficients && scales_columns(kEpilogue);
  typename M::T column_sums[2] = {V::zero(), V::zero()};
#pragma GCC unroll 16
  for (int i = 0; i < kRows; i += 2) {
    if constexpr (kLate) {
      exp2_of_two_rows<M>(tile.powers, i > 0, x[i], x[i + 1]);
      if (i > 0) start_two_rows<M>(next_queries, stride, candidates, x[i - 2], x[i - 1]);
    }
    finish_row<M, kEpilogue, kMarked>(tile, i, x[i], column_sums);
    finish_row<M, kEpilogue, kMarked>(tile, i + 1, x[i + 1], column_sums);
    if constexpr (stores(kEpilogue)) {
      M::store_weights(tile.weights, tile.pairs, i, x[i], x[i + 1]);
    }
    if (!kLate || i + 2 == kRows) {
      start_two_rows<M>(next_queries, stride, candidates, x[i], x[i + 1]);
    }
  }
  if constexpr (kEpilogue == Epilogue::sum_columns) {
    V::store(tile.column_sums, V::add(V::load(tile.column_sums), column_sums[0]));
    V::store(tile.column_sums + kLanes, V::add(V::load(tile.column_sums + kLanes), column_sums[1]));
  }
}

/// Coefficients of 2^f times each column's factor, highest power first: [6][two vectors]. So the
/// polynomial of a score's fraction ends with the factor of its column, at no cost.
template <class V>
inline void column_powers(const float* factor, float* powers) {
  for (int v = 0; v < 2; ++v) {
    const auto column = V::load(factor + v * V::kLanes);
    for (int k = 0; k < 6; ++k) {
      V::store(powers + (2 * k + v) * V::kLanes, V::mul(V::set1(kExp2[k]), column));
    }
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

/// The r-th tile's part of what a panel's tiles read and write.
template <class M>
inline TileView<M> view_of(const ScoreArgs& a, const float* powers, int64_t p, int64_t r) {
  using Element = typename M::Element;
  constexpr int kLanes = M::Vec::kLanes, kColumns = 2 * kLanes;
  constexpr int kRowElements = M::kPairs ? kColumns / 2 : kColumns;  // of weights
  const int64_t rows = static_cast<int64_t>(a.row_tiles) * M::kTileRows;
  const int64_t row = r * M::kTileRows, column = p * kColumns;
  TileView<M> tile;
  tile.bias = a.bias + column;
  tile.powers = powers;
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
  return tile;
}

template <class M, Epilogue kEpilogue>
void scores(const ScoreArgs& a) {
  using Element = typename M::Element;
  constexpr int kRows = M::kTileRows, kColumns = 2 * M::Vec::kLanes;
  constexpr int kRowElements = M::kPairs ? kColumns / 2 : kColumns;  // of weights
  const auto* queries = static_cast<const Element*>(a.queries);
  const int64_t panel_elements = static_cast<int64_t>(a.depth) * kColumns;
  const int64_t upcoming_elements = kRowElements * a.upcoming_stride;
  alignas(64) float powers[6 * kColumns];
  for (int64_t p = 0; p < a.panels; ++p) {
    if constexpr (scales_columns(kEpilogue)) {
      column_powers<typename M::Vec>(a.bias + p * kColumns, powers);
    }
    const Element* c = static_cast<const Element*>(a.candidates) + p * panel_elements;
    const Element* next_panel = c + panel_elements;
    const bool is_upcoming = a.upcoming != nullptr;
    const Element* upcoming =
        is_upcoming ? static_cast<const Element*>(a.upcoming) + p * upcoming_elements : next_panel;
    const int64_t upcoming_bytes = 4 * (is_upcoming ? upcoming_elements : panel_elements);
    typename M::T x[kRows][2];
    const Element* first = queries;
#pragma GCC unroll 16
    for (int i = 0; i < kRows; i += 2) {
      start_two_rows<M>(first, a.query_stride, c, x[i], x[i + 1]);
    }
    for (int64_t r = 0; r < a.row_tiles; ++r) {
      const Element* q = queries + r * kRows * a.query_stride;
      multiply_tile<M, stores(kEpilogue)>(q, a.query_stride, c, a.depth,
                                          share(next_panel, 4 * panel_elements, r, a.row_tiles),
                                          share(upcoming, upcoming_bytes, r, a.row_tiles), x);
      const TileView<M> tile = view_of<M>(a, powers, p, r);
      // Behind the last tile there is none: its own step once more, and the result is dropped.
      const Element* next = r + 1 < a.row_tiles ? q + kRows * a.query_stride : q;
      if (a.marked[p * a.row_tiles + r] != 0) {
        finish_tile<M, kEpilogue, true>(tile, next, a.query_stride, c, x);
      } else {
        finish_tile<M, kEpilogue, false>(tile, next, a.query_stride, c, x);
      }
    }
  }
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
