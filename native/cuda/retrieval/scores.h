// Scores of queries and items, tile by tile.
#pragma once

#include <cstdint>

#include "dense/product.h"

namespace tt::cuda {

// A tile of scores: its queries are rows, its items columns.
constexpr int kTileQueries = 64, kTileItems = 128;

/// Rows times a factor each.
struct ScaledRows {
  static constexpr bool kAlongDepth = true;
  Operand<true> matrix;
  const float* factors;  // [rows], or NULL: 1

  /// Whether there are rows, and of whole slices that may be read by fours.
  bool whole() const {
    return matrix.rows > 0 && matrix.quads && matrix.depth > 0 && matrix.depth % kTileDepth == 0;
  }

  __device__ __forceinline__ float factor(int64_t r) const {
    return factors != nullptr ? __ldg(factors + r) : 1.0f;
  }

  __device__ __forceinline__ float4 quad(int64_t r, int64_t k, int64_t end) const {
    float4 q = matrix.quad(r, k, end);
    if (factors == nullptr || r >= matrix.rows) return q;
    return scaled(q, factor(r));
  }

  static __device__ __forceinline__ float4 scaled(float4 q, float factor) {
    return make_float4(__fmul_rn(q.x, factor), __fmul_rn(q.y, factor), __fmul_rn(q.z, factor),
                       __fmul_rn(q.w, factor));
  }
};

/// Both sides of the scores, with 1 / |row| as factors where they are cosines.
struct Sides {
  ScaledRows queries, items;

  bool whole() const { return queries.whole() && items.whole(); }

  /// The score of one pair: the bits of a tile's.
  __device__ __forceinline__ float score(int64_t query, int32_t item) const {
    const int64_t d = queries.matrix.depth;
    const float* q = queries.matrix.values + query * d;
    const float* x = items.matrix.values + item * d;
    const float scale_q = queries.factor(query), scale_x = items.factor(item);
    float sum = 0.0f;
    for (int64_t c = 0; c < d; ++c) {
      sum = __fmaf_rn(__fmul_rn(q[c], scale_q), __fmul_rn(x[c], scale_x), sum);
    }
    return sum;
  }
};

using ScoreProduct = Product<ScaledRows, ScaledRows, kTileQueries, kTileItems, true>;

/// A thread's quads of one whole slice after the other, where Slice has them. Rows behind the last are the last: nobody
/// looks at their scores.
template <int kRows>
class RowFeed {
  using Slices = Slice<ScaledRows, kRows, ScoreProduct::kThreads>;
  static constexpr int kQuads = Slices::kQuads;
  static constexpr int kRowQuads = kTileDepth / 4;
  static constexpr int kRowStep = ScoreProduct::kThreads / kRowQuads;  // from quad to quad

 public:
  __device__ __forceinline__ RowFeed() {
    const auto thread = static_cast<int>(threadIdx.x);
    row_ = thread / kRowQuads;
    depth_ = 4 * (thread % kRowQuads);
  }

  /// The next slices are those of rows row, row + 1, ... from depth 0 on.
  __device__ __forceinline__ void aim(const ScaledRows& rows, int64_t row) {
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      const int64_t r = min(row + (row_ + q * kRowStep), rows.matrix.rows - 1);
      from_[q] = rows.matrix.values + r * rows.matrix.stride + depth_;
      factors_[q] = rows.factor(r);
    }
  }

  __device__ __forceinline__ void load() {
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      next_[q] = *reinterpret_cast<const float4*>(from_[q]);
      from_[q] += kTileDepth;
    }
  }

  /// Scales only here, so that load() waits for nothing.
  __device__ __forceinline__ void store(float* shared) const {
    float* to = shared + (depth_ * Slices::kStride + row_);
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      const float4 quad = ScaledRows::scaled(next_[q], factors_[q]);
      float* p = to + q * kRowStep;
      p[0] = quad.x;
      p[Slices::kStride] = quad.y;
      p[2 * Slices::kStride] = quad.z;
      p[3 * Slices::kStride] = quad.w;
    }
  }

 private:
  int row_, depth_;  // of the first quad
  const float* from_[kQuads];
  float factors_[kQuads];
  float4 next_[kQuads];
};

/// The tiles of a block's queries and of items from one on. kWhole: the sides are whole(), and neither bounds nor branches
/// come between the multiply-adds; while one tile is looked at, the next one's first slice is on its way.
template <bool kWhole>
class Tiles {
 public:
  /// shared: [ScoreProduct::kSharedFloats], of no other use while there are tiles to come.
  __device__ __forceinline__ Tiles(const Sides& sides, int64_t query, int64_t item, float* shared)
      : sides_(sides), query_(query), item_(item), shared_(shared) {
    if constexpr (kWhole) {
      aim();
      load();
    }
  }

  /// Of the next tile, as Product::run; with a barrier at least. All threads of the block together.
  __device__ __forceinline__ void next(float (&sums)[kThreadTile][kThreadTile]) {
    const int64_t depth = sides_.queries.matrix.depth, item = item_;
    item_ += kTileItems;
    if constexpr (kWhole)
      stream(static_cast<int>(depth), sums);
    else
      ScoreProduct::run(sides_.queries, sides_.items, query_, item, 0, depth, shared_, sums);
  }

 private:
  __device__ __forceinline__ void stream(int depth, float (&sums)[kThreadTile][kThreadTile]) {
    ScoreProduct::clear(sums);
    for (int left = depth; left > 0; left -= kTileDepth) {
      // Nobody reads this buffer any more: all have passed the other one's barrier.
      float* slice = shared_ + buffer_;
      queries_.store(slice);
      items_.store(slice + ScoreProduct::SliceA::kFloats);
      if (left == kTileDepth) aim();
      load();  // before the barrier, behind which the compiler would put it off
      __syncthreads();
      ScoreProduct::add_slice(slice, sums);
      buffer_ = ScoreProduct::kSharedFloats / 2 - buffer_;
    }
  }

  __device__ __forceinline__ void aim() {
    queries_.aim(sides_.queries, query_);
    items_.aim(sides_.items, item_);
  }
  __device__ __forceinline__ void load() {
    queries_.load();
    items_.load();
  }

  const Sides& sides_;
  int64_t query_, item_;  // item_: of the next tile
  float* shared_;
  int buffer_ = 0;  // where in shared_ the next slice goes
  RowFeed<kTileQueries> queries_;
  RowFeed<kTileItems> items_;
};

}  // namespace tt::cuda
